"""The queue on disk: the laws of every queue, across restarts, and its bounds."""

import os
import shutil
import tempfile
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ss_pusher.errors import SpoolError
from ss_pusher.model import Pending, Protocol, Request
from ss_pusher.queue.directory import deposit
from ss_pusher.queue.memory import QUEUE_FULL, TOO_OLD
from ss_pusher.queue.spool import Spool
from tests import needs
from tests.queue.laws import FOR_EVER, PLENTY, QueueMachine, request, total
from tests.queue.spools import numbers, opened, segments
from tests.waiting import wait_for

LONG = 20.0


def unexpected(*_: object) -> None:
    raise AssertionError("something was dropped")


class SpoolMachine(QueueMachine):
    """The laws; and whatever waits comes back after the end of the process, orderly or not.

    What replaced a leased request is only in memory: the original comes back until all its parts are acknowledged.
    """

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp())
        self.lives = 0
        self.originals: list[Request] = []
        self.parts = 0
        super().__init__()

    def make_queue(self) -> Spool:
        return Spool(
            self.base / str(self.lives),
            max_bytes=5000,  # in 16 files, so that records are in many of them
            max_age=FOR_EVER,
            dropped=unexpected,
            damaged=unexpected,
            now=lambda: 0.0,
        )

    def together(self) -> int:
        return self.parts or len(self.waiting)

    @precondition(lambda self: len(self.waiting) < 40)
    @rule(samples=st.integers(1, 4), protocol=st.sampled_from([Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2]))
    def put(self, samples: int, protocol: Protocol) -> None:
        super().put(samples, protocol)

    @precondition(lambda self: self.leased)
    @rule()
    def acknowledge(self) -> None:
        self.settle_parts(0)
        super().acknowledge()

    @precondition(lambda self: self.leased)
    @rule(count=st.integers(0, 3))
    def replace(self, count: int) -> None:
        self.settle_parts(count)
        super().replace(count)

    def settle_parts(self, added: int) -> None:
        if self.parts:
            self.parts += added - self.leased
        else:
            self.originals = self.waiting[: self.leased]
            self.parts = added
        if not self.parts:
            self.originals = []

    @rule(orderly=st.booleans())
    def restart(self, *, orderly: bool) -> None:
        before = self.base / str(self.lives)
        self.lives += 1
        if orderly:
            self.queue.close()
            before.rename(self.base / str(self.lives))
        else:  # as if killed at this moment: what is on disk now is all that there is
            shutil.copytree(before, self.base / str(self.lives))
            self.queue.close()
        self.queue = self.make_queue()
        self.waiting[: self.parts] = self.originals
        self.originals, self.parts, self.leased = [], 0, 0

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.base)


TestLaws = SpoolMachine.TestCase
TestLaws.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_the_oldest_goes_when_there_are_too_many_bytes(tmp_path: Path) -> None:
    with opened(tmp_path / "spool", max_bytes=1600) as spool:
        for number in range(100):
            spool.queue.put(request(number))
        left = numbers(spool.drain())

    assert left == list(range(100 - len(left), 100))
    assert 1600 * 15 / 16 - 100 < len(left) * 50 <= 1600  # a record here has 50 bytes
    assert {reason for reason, _ in spool.dropped} == {QUEUE_FULL}
    assert sum(samples for _, samples in spool.dropped) == 100 - len(left)


def test_what_is_larger_than_the_spool_is_dropped_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "spool", max_bytes=1000) as spool:
        spool.queue.put(request(1))
        spool.queue.put(request(2, samples=7, size=1001))

        assert spool.dropped == [(QUEUE_FULL, 7)]
        assert numbers(spool.drain()) == [1]


def test_what_is_leased_is_not_dropped(tmp_path: Path) -> None:
    with opened(tmp_path / "spool", max_bytes=800) as spool:
        spool.queue.put(request(0))
        assert numbers(list(spool.queue.lease(0.0))) == [0]
        for number in range(1, 100):
            spool.queue.put(request(number))
        assert spool.queue.pending().requests + sum(samples for _, samples in spool.dropped) == 100
        spool.queue.release()
        assert numbers(list(spool.queue.lease(0.0))) == [0]
        spool.queue.acknowledge()
        left = numbers(spool.drain())

    assert left == list(range(100 - len(left), 100))
    assert sum(samples for _, samples in spool.dropped) == 99 - len(left)


def test_what_is_too_old_goes_by_files_and_by_records(tmp_path: Path) -> None:
    now = 0.0
    with opened(tmp_path / "spool", max_bytes=16 * 100, max_age=10, now=lambda: now) as spool:
        for second in range(8):
            now = second
            spool.queue.put(request(second * 1000))
        now = 12.5
        spool.queue.put(request(12_500))
        assert spool.dropped == [(TOO_OLD, 2)]  # two records are in the first file

        assert numbers(list(spool.queue.lease(0.0)))[0] == 3000
        assert spool.dropped == [(TOO_OLD, 2), (TOO_OLD, 1)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=60), st.integers(100, 3000))
def test_bytes_on_disk_never_exceed_the_bound_and_every_sample_is_accounted_for(
    steps: list[tuple[int, bool]], max_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spool"
        with opened(path, max_bytes=max_bytes) as spool:
            acknowledged = 0
            for number, (size, send) in enumerate(steps):
                spool.queue.put(request(number, samples=size, size=size))
                assert len(segments(path)) == 1 or sum(file.stat().st_size for file in segments(path)) <= max_bytes
                if send:
                    acknowledged += sum(r.samples for r in spool.queue.lease(0.0, 400))
                    spool.queue.acknowledge()
            dropped = sum(samples for _, samples in spool.dropped)
            assert acknowledged + dropped + spool.queue.pending().samples == sum(size for size, _ in steps)


def test_files_of_what_was_acknowledged_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with opened(path, max_bytes=1600) as spool:
        for number in range(1000):
            spool.queue.put(request(number))
            assert numbers(spool.drain()) == [number]
            assert len(segments(path)) <= 2
    assert segments(path) == []


def test_what_was_replaced_comes_back_whole_when_not_all_of_it_was_acknowledged(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        spool.queue.put(request(1))
        spool.queue.lease(0.0)
        spool.queue.replace([request(11), request(12)])
        spool.queue.lease(0.0)
        spool.queue.acknowledge()
    with opened(tmp_path / "spool") as again:
        assert numbers(again.drain()) == [1]


def test_a_file_that_a_crash_kept_from_being_deleted_is_not_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with opened(path, max_bytes=1600) as spool:
        for number in range(6):  # two in each file
            spool.queue.put(request(number))
        first = segments(path)[0].read_bytes()
        spool.queue.lease(0.0, 3)
        spool.queue.acknowledge()
        assert len(segments(path)) == 2
        (path / f"{1:016x}.segment").write_bytes(first)
    with opened(path, max_bytes=1600) as again:
        assert again.queue.pending().requests == 3
        assert numbers(again.drain()) == [3, 4, 5]


# ---- other processes ------------------------------------------------------------------------------------------------


def test_only_one_process_has_it(tmp_path: Path) -> None:
    with opened(tmp_path / "spool"), pytest.raises(SpoolError, match="is used by another process"):
        opened(tmp_path / "spool").__enter__()
    with opened(tmp_path / "spool"):
        pass


def test_what_others_leave_is_sent_after_what_waits_and_before_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    deposit(path, [request(1), request(2)])
    with opened(path) as spool:
        assert spool.queue.pending() == total([request(1), request(2)])
        deposit(path, [request(3)])
        deposit(path, [request(4)])
        spool.queue.put(request(5))

        assert spool.drain() == [request(number) for number in range(1, 6)]
    with opened(path) as again:
        assert again.drain() == []


def test_what_is_left_to_a_link_or_in_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.mkdir()
    (path / "incoming").symlink_to(tmp_path)

    with pytest.raises(SpoolError):
        deposit(path, [request(1)])


def test_deposits_that_cannot_be_deleted_are_taken_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    deposit(path, [request(1)])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with opened(path) as spool:
            spool.queue.put(request(2))
            spool.queue.put(request(3))
            assert numbers(spool.drain()) == [1, 2, 3]
    assert "Operation not permitted" in caplog.text


def test_a_few_words_are_remembered_across_restarts(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        assert spool.queue.recall() == {}
        spool.queue.remember({"only": 1})
        spool.queue.remember({"only": 2})
    with opened(tmp_path / "spool") as spool:
        assert spool.queue.recall() == {"only": 2}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_memory_that_is_damaged_is_none(tmp_path: Path, content: bytes) -> None:
    with opened(tmp_path / "spool") as spool:
        (tmp_path / "spool" / "state.json").write_bytes(content)
        assert spool.queue.recall() == {}


# ---- who may look and what may be there -----------------------------------------------------------------------------


def test_nobody_else_may_look(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with opened(tmp_path / "spool") as spool:
            spool.queue.put(request(1))
            spool.queue.remember({"only": 1})
            deposit(tmp_path / "spool", [request(2)])
            modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "spool").rglob("*")}
    finally:
        os.umask(old)

    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert len(modes) >= 5
    assert all(mode == (0o700 if path.name == "incoming" else 0o600) for path, mode in modes.items())


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.mkdir()
    path.chmod(0o777)

    with pytest.raises(SpoolError, match="nobody else may write to it"):
        opened(path).__enter__()


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    needs.root()
    path = tmp_path / "spool"
    path.mkdir(mode=0o755)
    os.chown(path, 12345, 12345)

    with pytest.raises(SpoolError, match="must belong to user 0"):
        opened(path).__enter__()


def is_said(caplog: pytest.LogCaptureFixture, path: Path) -> str:
    """What the log says of a spool that is opened there; it is opened all the same."""
    caplog.clear()
    with opened(path):
        pass
    return "\n".join(caplog.messages)


def test_of_a_directory_above_it_that_others_may_write_to_the_log_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    words = f"not safe: others may write to {above} (its mode is 0777); chmod go-w would be right"
    assert words in is_said(caplog, above / "spool")
    above.chmod(0o1777)  # as /tmp, where nobody may rename what is not theirs
    assert is_said(caplog, above / "spool") == ""
    (above / "free").mkdir()
    (above / "free").chmod(0o777)
    words = f"every user may put another directory in the place of {above / 'free' / 'ours'}"
    assert words in is_said(caplog, above / "free" / "ours" / "spool")


def test_of_a_link_above_it_the_log_warns_only_if_it_is_somebody_elses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs.root()
    (tmp_path / "private").mkdir()
    link = tmp_path / "link"
    link.symlink_to("private")
    assert is_said(caplog, link / "spool") == ""  # as systemd makes it for DynamicUser=
    assert (tmp_path / "private" / "spool").is_dir()
    os.lchown(link, 12345, 12345)
    assert f"{link} is a link of user 12345, who may turn it elsewhere" in is_said(caplog, link / "spool")


def test_of_a_directory_above_it_of_somebody_else_the_log_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs.root()
    os.chown(tmp_path, 12345, 12345)
    assert "belongs to user 12345, and not to user 0" in is_said(caplog, tmp_path / "spool")


def test_who_may_not_go_there_is_told_so() -> None:
    needs.root()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "private" / "ours").mkdir(parents=True)
        (directory / "private").chmod(0o700)
        (directory / "link").symlink_to("private/ours")
        os.seteuid(12345)
        try:
            for path in (directory / "link" / "spool", directory / "spool"):
                with pytest.raises(SpoolError, match=f"the spool {path}: Permission denied for user 12345"):
                    opened(path).__enter__()
                with pytest.raises(SpoolError, match=f"the spool {path}: Permission denied for user 12345"):
                    deposit(path, [request(1)])
        finally:
            os.seteuid(0)


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()

    for name in ("link", "file"):
        with pytest.raises(SpoolError, match=f"the spool {tmp_path / name}: "):
            opened(tmp_path / name).__enter__()


@pytest.mark.parametrize("name", ["lock", "position"])
def test_a_link_inside_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "spool"
    path.mkdir()
    (tmp_path / "victim").write_bytes(b"precious")
    (path / name).symlink_to(tmp_path / "victim")

    with pytest.raises(SpoolError):
        opened(path).__enter__()
    assert (tmp_path / "victim").read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_only_looks_like_a_segment_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "spool"
    with opened(path) as spool:
        spool.queue.put(request(1))
    strange = path / f"{9:016x}.segment"
    if kind == "link":
        strange.symlink_to(segments(path)[0])
    elif kind == "pipe":
        os.mkfifo(strange)
    else:
        strange.mkdir()
    with opened(path) as spool:
        spool.queue.put(request(2))
        assert numbers(spool.drain()) == [1, 2]

    assert strange.is_symlink() or strange.exists()


# ---- threads --------------------------------------------------------------------------------------------------------


def test_a_lease_waits_for_something_to_come(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        leased: list[Request] = []
        thread = threading.Thread(target=lambda: leased.extend(spool.queue.lease(LONG)))
        thread.start()
        spool.queue.put(request(1))
        thread.join(LONG)

        assert leased == [request(1)]


def test_nothing_is_waited_for_when_nothing_more_will_come(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        thread = threading.Thread(target=lambda: spool.queue.lease(1e6))
        thread.start()
        spool.queue.finish()

        wait_for(lambda: not thread.is_alive(), "the lease ends")


def test_after_the_end_it_is_deaf(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        spool.queue.put(request(1))
        spool.queue.lease(0.0)
        spool.queue.close()
        spool.queue.acknowledge()
        spool.queue.put(request(2))
        assert spool.queue.lease(0.0) == ()
        spool.queue.remember({"only": 1})
    with opened(tmp_path / "spool") as again:
        assert numbers(again.drain()) == [1]
        assert again.queue.pending() == Pending(0, 0, 0)


def test_putting_and_sending_at_once_loses_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "spool", max_bytes=PLENTY) as spool:
        sent: list[int] = []

        def send() -> None:
            while leased := spool.queue.lease(LONG, 5):
                sent.extend(numbers(list(leased)))
                spool.queue.acknowledge()

        sender = threading.Thread(target=send)
        sender.start()
        for number in range(2000):
            spool.queue.put(request(number))
        spool.queue.finish()
        sender.join(LONG)

    assert sent == list(range(2000))


def test_memory_stays_flat_through_an_outage(tmp_path: Path) -> None:
    ticks, size = 1440, 7500  # six hours, two requests a tick, at a tenth of the size that 10,000 series have
    with opened(tmp_path / "spool", max_bytes=256 << 20) as spool:
        spool.queue.put(request(0, size=size))
        tracemalloc.start()
        for number in range(1, 2 * ticks):
            spool.queue.put(request(number, size=size))
            assert spool.queue.lease(0.0)
            spool.queue.release()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 1 << 20
        assert numbers(spool.drain()) == list(range(2 * ticks))
