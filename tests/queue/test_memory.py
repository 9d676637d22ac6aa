"""The queue in memory: the laws of every queue, and its bounds."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ss_pusher.model import Pending, Protocol, Request
from ss_pusher.queue.directory import deposit
from ss_pusher.queue.memory import MEMORY_LIMIT, QUEUE_FULL, SUPERSEDED, TOO_OLD, MemoryQueue, Room
from tests.queue.laws import FOR_EVER, PLENTY, QueueMachine, drained, request
from tests.queue.spools import opened
from tests.waiting import wait_for

LONG = 20.0


def unexpected(reason: str, samples: int) -> None:
    raise AssertionError(f"{samples} samples dropped: {reason}")


class Bounded:
    """A queue with bounds, and what it says that it dropped."""

    def __init__(
        self,
        max_bytes: int = PLENTY,
        max_age: float = FOR_EVER,
        max_requests: int | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.dropped: list[tuple[str, int]] = []
        self.queue = MemoryQueue(
            max_bytes=max_bytes,
            max_age=max_age,
            max_requests=max_requests,
            dropped=lambda reason, samples: self.dropped.append((reason, samples)),
            now=now,
        )

    def drain(self) -> list[Request]:
        return drained(self.queue)


class MemoryMachine(QueueMachine):
    """The laws."""

    def make_queue(self) -> MemoryQueue:
        return MemoryQueue(max_bytes=PLENTY, max_age=FOR_EVER, dropped=unexpected, now=lambda: 0.0)


TestLaws = MemoryMachine.TestCase
TestLaws.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_the_oldest_goes_when_there_are_too_many_bytes() -> None:
    bounded = Bounded(max_bytes=35)
    for number in range(5):
        bounded.queue.put(request(number, samples=number + 1))

    assert bounded.dropped == [(QUEUE_FULL, 1), (QUEUE_FULL, 2)]
    assert [r.newest_ms for r in bounded.drain()] == [2, 3, 4]


def test_what_is_larger_than_the_queue_is_dropped_alone() -> None:
    bounded = Bounded(max_bytes=35)
    bounded.queue.put(request(1))
    bounded.queue.put(request(2, samples=7, size=36))

    assert bounded.dropped == [(QUEUE_FULL, 7)]
    assert bounded.queue.pending() == Pending(1, 1, 10)


def test_what_is_leased_is_not_dropped() -> None:
    bounded = Bounded(max_bytes=20)
    bounded.queue.put(request(1))
    (leased,) = bounded.queue.lease(0.0)
    for number in (2, 3, 4):
        bounded.queue.put(request(number))
    assert leased == request(1)
    bounded.queue.release()

    assert bounded.dropped == [(QUEUE_FULL, 1), (QUEUE_FULL, 1)]
    assert [r.newest_ms for r in bounded.drain()] == [1, 4]


def test_what_has_no_room_beside_what_is_leased_is_dropped() -> None:
    bounded = Bounded(max_bytes=20)
    bounded.queue.put(request(1))
    bounded.queue.put(request(2))
    bounded.queue.lease(0.0, 2)
    bounded.queue.put(request(3, samples=7))

    assert bounded.dropped == [(QUEUE_FULL, 7)]
    assert bounded.queue.pending() == Pending(2, 2, 20)


def test_what_is_too_old_goes_when_something_comes_and_when_somebody_asks() -> None:
    now = 0.0
    bounded = Bounded(max_age=10, now=lambda: now)
    bounded.queue.put(request(1_000))
    now = 11.5
    bounded.queue.put(request(11_500, samples=2))
    assert bounded.dropped == [(TOO_OLD, 1)]
    now = 21.6

    assert bounded.queue.lease(0.0) == ()
    assert bounded.dropped == [(TOO_OLD, 1), (TOO_OLD, 2)]


def test_only_the_latest_waits_where_only_the_latest_means_anything() -> None:
    bounded = Bounded(max_requests=1)
    for number in (1, 2, 3):
        bounded.queue.put(request(number))
    assert bounded.queue.lease(0.0) == (request(3),)
    bounded.queue.put(request(4))
    bounded.queue.put(request(5))
    assert bounded.dropped == [(SUPERSEDED, 1)] * 3

    bounded.queue.release()  # it was refused, and a newer one is there: it must never arrive after it
    assert bounded.dropped == [(SUPERSEDED, 1)] * 4
    assert bounded.drain() == [request(5)]


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=60), st.integers(1, 100))
def test_bytes_never_exceed_the_bound_and_every_sample_is_accounted_for(
    steps: list[tuple[int, bool]], max_bytes: int
) -> None:
    bounded = Bounded(max_bytes=max_bytes)
    acknowledged = 0
    for number, (size, send) in enumerate(steps):
        bounded.queue.put(request(number, samples=size, size=size))
        assert bounded.queue.pending().bytes <= max_bytes
        if send:
            acknowledged += sum(r.samples for r in bounded.queue.lease(0.0, 40))
            bounded.queue.acknowledge()

    dropped = sum(samples for _, samples in bounded.dropped)
    assert acknowledged + dropped + bounded.queue.pending().samples == sum(size for size, _ in steps)


def test_what_still_waits_at_the_end_is_left_to_another_process(tmp_path: Path) -> None:
    def leave(requests: Sequence[Request]) -> None:
        deposit(tmp_path / "spool", requests)

    with opened(tmp_path / "spool") as spool:  # it is the other process that has it
        queue = MemoryQueue(max_bytes=PLENTY, max_age=FOR_EVER, dropped=unexpected, now=lambda: 0.0, leave=leave)
        for number in (1, 2, 3):
            queue.put(request(number))
        queue.lease(0.0)
        queue.acknowledge()
        queue.lease(0.0)
        queue.close()
        queue.close()
        spool.queue.put(request(4))
        assert spool.drain() == [request(2), request(3), request(4)]


def test_a_lease_waits_for_something_to_come() -> None:
    queue = Bounded().queue
    leased: list[Request] = []
    thread = threading.Thread(target=lambda: leased.extend(queue.lease(LONG)))
    thread.start()
    queue.put(request(1))
    thread.join(LONG)

    assert leased == [request(1)]


def test_nothing_is_waited_for_when_nothing_more_will_come() -> None:
    queue = Bounded().queue
    thread = threading.Thread(target=lambda: queue.lease(1e6))
    thread.start()
    queue.finish()

    wait_for(lambda: not thread.is_alive(), "the lease ends")
    assert queue.lease(1e6) == ()


def test_queues_that_share_a_room_have_equal_parts_of_it_and_the_oldest_makes_way() -> None:
    room = Room(60)
    first, second = Sharing(room), Sharing(room)
    first.put(*range(1, 11))
    assert first.dropped == [(MEMORY_LIMIT, 1)] * 7
    assert first.queue.pending().bytes == 30
    second.put(1, 2)
    assert second.dropped == []
    # Another that comes makes the others' parts smaller, from their next request on.
    third = Sharing(room)
    first.put(11)
    assert first.queue.pending().bytes == 20
    # One that has gone leaves its part, once.
    for _ in range(2):
        third.queue.close()
    first.put(12, 13)
    assert first.queue.pending().bytes == 30
    second.queue.close()
    first.put(*range(14, 20))
    assert first.queue.pending().bytes == 60


def test_what_is_leased_stays_also_when_the_room_gets_smaller() -> None:
    room = Room(40)
    first = Sharing(room)
    first.put(1, 2, 3, 4)
    leased = first.queue.lease(0.0, samples=3)
    others = [Sharing(room) for _ in range(3)]
    first.put(5)
    assert first.queue.pending().requests == 3
    assert leased == (sized(1), sized(2), sized(3))
    first.queue.release()
    assert first.queue.pending().requests == 1
    assert sum(other.queue.pending().bytes for other in others) + first.queue.pending().bytes <= room.total


def test_what_has_no_room_at_all_is_dropped_at_once() -> None:
    alone = Sharing(Room(5))
    alone.put(1)
    assert (alone.dropped, alone.queue.pending()) == ([(MEMORY_LIMIT, 1)], Pending(0, 0, 0))


class Sharing:
    """A queue with a part of a room, and what it says that it dropped."""

    def __init__(self, room: Room) -> None:
        self.dropped: list[tuple[str, int]] = []
        self.queue = MemoryQueue(
            max_bytes=PLENTY,
            max_age=FOR_EVER,
            dropped=lambda reason, samples: self.dropped.append((reason, samples)),
            now=lambda: 0.0,
            room=room,
        )

    def put(self, *times: int) -> None:
        for time in times:
            self.queue.put(sized(time))


def sized(time_ms: int) -> Request:
    """A request of ten bytes with one sample."""
    return Request(Protocol.TEXT, bytes(10), 1, time_ms, time_ms)
