"""Cgroups that earlier runs left, in directories that stand for them: a real one takes minutes to be old enough."""

import os
from pathlib import Path

from ss_pusher.batch.cgroup import made_below, moved

NO_PROCESS = (1 << 22) + 1  # above PID_MAX_LIMIT, Linux include/linux/threads.h
OLD = 3600.0


def left(directory: Path, owner: int, *, age: float = OLD, holds: bool = False) -> Path:
    cgroup = directory / f"ss-pusher-run-{owner}"
    cgroup.mkdir()
    if holds:
        (cgroup / "below").mkdir()
    before = cgroup.stat().st_mtime - age
    os.utime(cgroup, (before, before))
    return cgroup


def test_an_old_empty_one_of_a_process_that_is_gone_is_removed(tmp_path: Path) -> None:
    swept = left(tmp_path, NO_PROCESS)
    kept = [left(tmp_path, NO_PROCESS + 1, age=0), left(tmp_path, NO_PROCESS + 2, holds=True), left(tmp_path, 1)]
    with made_below(tmp_path):
        assert not swept.exists()
        assert all(cgroup.exists() for cgroup in kept)


def test_an_old_one_of_our_own_process_id_is_anothers(tmp_path: Path) -> None:
    """As in containers, where process ids begin anew each time."""
    left(tmp_path, os.getpid())
    with made_below(tmp_path) as made:
        assert made


def test_a_fresh_one_of_our_own_process_id_stays(tmp_path: Path) -> None:
    """It is of a run in another PID namespace, which has not moved its job there yet."""
    others = left(tmp_path, os.getpid(), age=0)
    with made_below(tmp_path) as made:
        assert made is None
    assert others.exists()


def test_a_job_is_not_moved_to_one_that_vanished(tmp_path: Path) -> None:
    assert not moved(os.getpid(), tmp_path / "vanished")
