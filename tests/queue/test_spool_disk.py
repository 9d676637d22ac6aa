"""Spools on a disk that is full, that is read-only, that fails."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ss_pusher.errors import SpoolError
from ss_pusher.queue import spool as spool_module
from ss_pusher.queue.spool import DISK_FULL
from tests import needs
from tests.queue.laws import request
from tests.queue.spools import numbers, opened

DISK = 128 << 10
BODY = 3000
RECORD = BODY + 40


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    needs.root()
    path = tmp_path / "disk"
    path.mkdir()
    options = f"size={DISK},mode=0700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        needs.unavailable(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def accounted(spool_dropped: list[tuple[str, int]], left: list[int], put: int) -> bool:
    """Whether all is either dropped or left, and the newest are left, in order."""
    return sum(samples for _, samples in spool_dropped) + len(left) == put and left == list(range(put - len(left), put))


def test_on_a_full_disk_the_oldest_goes_and_the_newest_stays(
    disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spool_module, "MAX_IN_MEMORY", 10 * BODY)
    with opened(disk / "spool", max_bytes=1 << 20) as spool:
        for number in range(200):
            spool.queue.put(request(number, size=BODY))
        left = numbers(spool.drain())
        spool.queue.put(request(200, size=BODY))  # there is room again
        assert numbers(spool.drain()) == [200]

    assert accounted(spool.dropped, left, 200)
    assert len(left) * RECORD > DISK / 3  # never more than a file at a time
    assert {reason for reason, _ in spool.dropped} == {DISK_FULL}
    assert "No space left on device" in caplog.text


def test_a_disk_that_others_fill_leaves_the_newest_in_memory(
    disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(spool_module, "MAX_IN_MEMORY", 10 * BODY)
    others = disk / "others"
    with opened(disk / "spool", max_bytes=64 << 20) as spool:
        spool.queue.put(request(0, size=BODY))
        fill(others)
        for number in range(1, 100):
            spool.queue.put(request(number, size=BODY))
        assert spool.queue.pending().bytes <= DISK + 10 * BODY
        others.unlink()
        spool.queue.put(request(100, size=BODY))
    with opened(disk / "spool", max_bytes=64 << 20) as again:
        left = numbers(again.drain())

    assert left[-10:] == list(range(91, 101))  # the rest of the memory went to disk
    assert left == sorted(left)
    assert len(left) + sum(samples for _, samples in spool.dropped) == 101
    assert [record.message.partition(": ")[2].partition(":")[0] for record in caplog.records] == [
        "cannot be written to, so requests wait in memory",
        "can be written to again",
    ]


def test_a_disk_that_is_full_now_and_then_does_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    real = os.pwrite
    now = 0.0
    full = False

    def pwrite(file: int, data: bytes, offset: int) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data, offset)

    with opened(tmp_path / "spool", monotonic=lambda: now) as spool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        for number in range(1000):
            now = 7.2 * number  # two hours
            full = number % 2 == 0
            spool.queue.put(request(number))

    away, back = "cannot be written to, so requests wait in memory", "can be written to again"
    assert [message.split(": ")[1] for message in caplog.messages] == [away, back, away]


def fill(path: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=512"], capture_output=True, check=False)
    free = os.statvfs(path).f_bavail
    assert free == 0


def test_requests_in_memory_keep_their_order_and_place_behind_those_on_disk(disk: Path) -> None:
    with opened(disk / "spool", max_bytes=64 << 20) as spool:
        spool.queue.put(request(0, size=BODY))
        fill(disk / "others")
        for number in range(1, 40):
            spool.queue.put(request(number, size=BODY))
        first = spool.queue.lease(0.0, 3)
        assert numbers(list(first))[0] == 0
        spool.queue.replace([request(1000), request(1001)])
        assert numbers(spool.drain()) == [1000, 1001, *range(len(first), 40)]


def test_what_is_leased_from_memory_is_not_written_twice(disk: Path) -> None:
    path = disk / "spool"
    with opened(path, max_bytes=64 << 20) as spool:
        others = disk / "others"
        fill(others)
        spool.queue.put(request(1, size=BODY))
        assert numbers(list(spool.queue.lease(0.0))) == [1]
        others.unlink()
        spool.queue.put(request(2, size=BODY))
        spool.queue.acknowledge()
        spool.queue.put(request(3, size=BODY))
    with opened(path, max_bytes=64 << 20) as again:
        assert numbers(again.drain()) == [2, 3]


def test_it_starts_on_a_full_disk_and_sends_what_is_there(disk: Path) -> None:
    path = disk / "spool"
    with opened(path, max_bytes=64 << 20) as spool:
        for number in range(5):
            spool.queue.put(request(number, size=BODY))
    fill(disk / "others")
    with opened(path, max_bytes=64 << 20) as spool:
        spool.queue.put(request(5, size=BODY))
        assert numbers(spool.drain()) == [0, 1, 2, 3, 4, 5]
    with opened(path, max_bytes=64 << 20) as again:
        assert again.drain() == []


def test_a_new_spool_can_be_made_on_a_full_disk(disk: Path) -> None:
    (disk / "spool").mkdir()
    fill(disk / "others")
    with opened(disk / "spool", max_bytes=64 << 20) as spool:
        spool.queue.put(request(1, size=BODY))
        assert numbers(spool.drain()) == [1]


def test_what_only_memory_had_is_counted_as_dropped_at_the_end(disk: Path) -> None:
    fill(disk / "others")
    with opened(disk / "spool", max_bytes=64 << 20) as spool:
        spool.queue.put(request(1, samples=7, size=BODY))

    assert spool.dropped == [(DISK_FULL, 7)]


def test_a_read_only_directory_says_so(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    with pytest.raises(SpoolError, match="Read-only file system"):
        opened(disk / "spool").__enter__()


def test_a_disk_that_turns_read_only_leaves_all_in_memory(disk: Path) -> None:
    others = disk / "spool"
    with opened(others) as spool:
        spool.queue.put(request(1))
        real = os.pwrite

        def refuse(*_: object) -> int:
            raise OSError(errno.EROFS, "Read-only file system")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pwrite", refuse)
            spool.queue.put(request(2))
            assert numbers(list(spool.queue.lease(0.0))) == [1]
            spool.queue.acknowledge()
        assert os.pwrite is real
        spool.queue.put(request(3))
        assert numbers(spool.drain()) == [2, 3]


@pytest.mark.parametrize("more", [[], [3]])
def test_a_write_that_stops_half_way_leaves_no_damage(tmp_path: Path, more: list[int]) -> None:
    real = os.pwrite
    budget = [70]

    def stingy(file: int, data: bytes, offset: int) -> int:
        part = data[: budget[0]]
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        budget[0] -= len(part)
        return real(file, part, offset)

    with opened(tmp_path / "spool") as spool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pwrite", stingy)
            spool.queue.put(request(1))
            spool.queue.put(request(2))
        for number in more:
            spool.queue.put(request(number))
    with opened(tmp_path / "spool") as again:
        assert numbers(again.drain()) == ([1, 2, 3] if more else [1])
        assert again.damaged == []
    assert spool.dropped == ([] if more else [(DISK_FULL, 1)])
