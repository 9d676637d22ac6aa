"""What becomes of what waits, in memory and on disk, when the wall clock leaps."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_pusher.clock import PATIENCE_MS, Clock, PatientClock
from ss_pusher.queue.memory import QUEUE_FULL, TOO_OLD, MemoryQueue
from tests.queue.laws import PLENTY, Queue, drained, request
from tests.queue.spools import numbers, opened

MAX_AGE = 3600
DAY = 86_400.0
PATIENCE = PATIENCE_MS // 1000
in_memory_and_on_disk = pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "on disk"])


class Time:
    """Clocks set by hand: how long the host is awake, and how far its wall clock is ahead of that."""

    def __init__(self) -> None:
        self.awake = 0.0
        self.ahead = 10 * DAY

    def patient(self, *, believed: bool = True) -> PatientClock:
        return PatientClock(Clock(lambda: self.awake + self.ahead, lambda: self.awake), believed=believed)

    def put(self, queue: Queue) -> int:
        """Put a request of now; its number."""
        number = int((self.awake + self.ahead) * 1000)
        queue.put(request(number))
        return number


@contextmanager
def waiting(now: PatientClock, *, on_disk: bool, max_bytes: int = PLENTY) -> Iterator[tuple[Queue, list[str]]]:
    """A queue, and the reasons for which it dropped, once for each sample."""
    reasons: list[str] = []
    if not on_disk:

        def dropped(reason: str, samples: int) -> None:
            reasons.extend([reason] * samples)

        yield MemoryQueue(max_bytes=max_bytes, max_age=MAX_AGE, dropped=dropped, now=now), reasons
        return
    with (
        tempfile.TemporaryDirectory() as directory,
        opened(Path(directory) / "spool", max_bytes=max_bytes, max_age=MAX_AGE, now=now) as spool,
    ):
        yield spool.queue, reasons
        reasons.extend(reason for reason, samples in spool.dropped for _ in range(samples))


@in_memory_and_on_disk
@settings(deadline=None, max_examples=50)
@given(leaps=st.lists(st.tuples(st.floats(-20 * DAY, 20 * DAY), st.integers(0, PATIENCE - 15)), max_size=5))
def test_leaps_that_are_taken_back_within_minutes_cost_nothing(
    leaps: list[tuple[float, int]], *, on_disk: bool
) -> None:
    time = Time()
    with waiting(time.patient(), on_disk=on_disk, max_bytes=16 * 100) as (queue, reasons):
        right = time.ahead
        put = []
        for leap, seconds in leaps:
            put.append(time.put(queue))
            time.awake, time.ahead = time.awake + 15, right + leap
            if leap > 0:  # else it bears a time that is too old indeed
                put.append(time.put(queue))
            time.awake += seconds
            queue.lease(0.0)
            queue.release()
            time.ahead = right
            queue.lease(0.0)
            queue.release()
        assert numbers(drained(queue)) == put
    assert reasons == []


@in_memory_and_on_disk
def test_what_is_too_old_goes_some_minutes_after_the_host_slept_for_days(*, on_disk: bool) -> None:
    time = Time()
    with waiting(time.patient(), on_disk=on_disk) as (queue, reasons):
        time.put(queue)
        time.ahead += 2 * DAY
        left = time.put(queue)
        time.awake += PATIENCE
        assert numbers(drained(queue)) == [left]
    assert reasons == [TOO_OLD]


@in_memory_and_on_disk
def test_the_bound_of_bytes_holds_whatever_time_it_is(*, on_disk: bool) -> None:
    time = Time()
    with waiting(time.patient(believed=False), on_disk=on_disk, max_bytes=16 * 100) as (queue, reasons):
        for _ in range(500):
            time.awake += 1
            time.put(queue)
        left = queue.pending().requests
        assert left * 10 <= 16 * 100
    assert reasons == [QUEUE_FULL] * (500 - left)


def test_a_spool_outlives_a_start_with_a_clock_that_is_days_ahead_until_it_is_set(tmp_path: Path) -> None:
    time = Time()
    with opened(tmp_path / "spool", max_age=MAX_AGE, now=time.patient()) as spool:
        before = time.put(spool.queue)
    time.awake, time.ahead = 0.0, time.ahead + 2 * DAY
    with opened(tmp_path / "spool", max_age=MAX_AGE, now=time.patient(believed=False)) as spool:
        assert numbers(list(spool.queue.lease(0.0))) == [before]
        spool.queue.release()
        time.awake, time.ahead = 6.0, time.ahead - 2 * DAY
        after = time.put(spool.queue)
        time.awake += PATIENCE
        assert numbers(spool.drain()) == [before, after]
        assert spool.dropped == []


def test_after_days_off_a_clock_that_can_be_believed_is(tmp_path: Path) -> None:
    time = Time()
    with opened(tmp_path / "spool", max_age=MAX_AGE, now=time.patient()) as spool:
        time.put(spool.queue)
    time.ahead += 2 * DAY
    with opened(tmp_path / "spool", max_age=MAX_AGE, now=time.patient()) as spool:
        assert spool.drain() == []
        assert spool.dropped == [(TOO_OLD, 1)]
