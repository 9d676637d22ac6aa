"""The thread of an endpoint: started, fed, flushed and stopped."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ss_pusher.model import Request
from ss_pusher.send.dispatch import Limits, Sink
from ss_pusher.send.verdict import Accepted, Held, Rejected, Retry, Verdict
from ss_pusher.send.worker import Worker
from ss_pusher.telemetry import Telemetry
from tests.send.endpoints import NAME, Judge, batch, in_turn, memory_queue
from tests.waiting import wait_for

LONG = 20.0
SHORT = 0.2


def soon(seconds: float = LONG) -> float:
    return time.monotonic() + seconds


@contextmanager
def a_worker(sink: Sink, limits: Limits | None = None, telemetry: Telemetry | None = None) -> Iterator[Worker]:
    worker = Worker(NAME, memory_queue(), sink, limits or Limits(min_backoff=0.001), telemetry or Telemetry())
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(soon(0))


class Hanging:
    """A sink whose pushes hang until the test lets go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.deadlines: list[float] = []

    def push(self, request: Request, deadline: float) -> Verdict:
        del request
        self.deadlines.append(deadline)
        self.entered.set()
        assert self.let_go.wait(LONG)
        return Accepted()


def test_what_is_put_is_sent() -> None:
    telemetry = Telemetry()
    sink = Judge()
    with a_worker(sink, telemetry=telemetry) as worker:
        worker.put(batch(b"\x01\x02"))
        wait_for(lambda: sink.accepted == b"\x01\x02", "it is sent")
        wait_for(lambda: telemetry.value("ss_pusher_samples_pending", endpoint=NAME) == 0, "nothing is pending")

    assert telemetry.value("ss_pusher_samples_total", endpoint=NAME) == 2


def test_a_sink_that_hangs_delays_neither_who_puts_nor_another_endpoint() -> None:
    telemetry = Telemetry()
    hanging = Hanging()
    other = Judge()
    with a_worker(hanging, telemetry=telemetry) as stuck, a_worker(other) as free:
        stuck.put(batch(b"\x01"))
        assert hanging.entered.wait(LONG)
        for number in range(100):
            stuck.put(batch(bytes([number])))
        free.put(batch(b"\x02"))
        wait_for(lambda: other.accepted == b"\x02", "the other endpoint sends")

        assert telemetry.value("ss_pusher_samples_pending", endpoint=NAME) == 101
        assert telemetry.value("ss_pusher_queue_bytes", endpoint=NAME) == 101
        hanging.let_go.set()


def test_stop_sends_what_waits_and_says_that_all_was_accepted() -> None:
    sink = Judge(in_turn(Retry("503"), Retry("503")))
    worker = Worker(NAME, memory_queue(), sink, Limits(min_backoff=0.001), Telemetry())
    for number in range(250):
        worker.put(batch(bytes([number])))
    worker.start()
    started = time.monotonic()

    assert worker.stop(soon())
    assert sink.accepted == bytes(range(250))
    assert time.monotonic() - started < LONG / 2  # not at the pace of a backlog, which would take 23 s


@pytest.mark.parametrize("verdict", [Rejected("refused", "405"), Accepted(written=0)])
def test_stop_says_that_not_all_was_accepted(verdict: Verdict) -> None:
    worker = Worker(NAME, memory_queue(), Judge(in_turn(verdict)), Limits(), Telemetry())
    worker.put(batch(b"\x01"))
    worker.start()

    assert worker.stop(soon()) is False


def test_stop_with_nothing_to_send_is_a_success() -> None:
    worker = Worker(NAME, memory_queue(), Judge(), Limits(), Telemetry())
    worker.start()

    assert worker.stop(soon())


def test_stop_does_not_wait_for_a_server_that_is_down_beyond_its_next_try() -> None:
    sink = Judge(lambda _: Retry("503", after=300))
    worker = Worker(NAME, memory_queue(), sink, Limits(), Telemetry())
    worker.put(batch(b"\x01"))
    worker.start()
    wait_for(lambda: sink.pushed, "the first try")
    started = time.monotonic()

    assert worker.stop(soon()) is False
    assert time.monotonic() - started < LONG / 2
    assert len(sink.pushed) == 2  # once more, without waiting for the 300 seconds


def test_stop_does_not_ask_again_where_a_setting_must_be_mended() -> None:
    sink = Judge(lambda _: Held("401"))
    worker = Worker(NAME, memory_queue(), sink, Limits(), Telemetry())
    worker.put(batch(b"\x01"))
    worker.start()
    wait_for(lambda: sink.pushed, "the first try")

    assert worker.stop(soon()) is False
    assert len(sink.pushed) == 1


def test_stop_ends_at_its_deadline_though_the_sink_hangs() -> None:
    hanging = Hanging()
    worker = Worker(NAME, memory_queue(), hanging, Limits(), Telemetry())
    worker.put(batch(b"\x01"))
    worker.start()
    assert hanging.entered.wait(LONG)
    started = time.monotonic()

    assert worker.stop(soon(SHORT)) is False
    assert time.monotonic() - started < LONG / 2
    hanging.let_go.set()


def test_pushes_while_stopping_end_at_the_deadline_of_the_stop() -> None:
    hanging = Hanging()
    worker = Worker(NAME, memory_queue(), hanging, Limits(timeout=1000), Telemetry())
    worker.put(batch(b"\x01"))
    worker.put(batch(b"\x02"))
    worker.start()
    assert hanging.entered.wait(LONG)
    deadline = soon()
    stopper = threading.Thread(target=worker.stop, args=(deadline,))
    stopper.start()
    wait_for(lambda: worker._stop_at, "the stop has begun")
    hanging.let_go.set()
    stopper.join()

    assert hanging.deadlines[0] > deadline
    assert hanging.deadlines[1] == deadline


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [(lambda _: Accepted(), True), (lambda _: Rejected("refused", "405"), False), (lambda _: Held("401"), False)],
    ids=["accepted", "rejected", "held"],
)
def test_flush_waits_until_the_fate_of_all_is_known(verdict: Callable[[Request], Verdict], *, expected: bool) -> None:
    with a_worker(Judge(verdict)) as worker:
        worker.put(batch(b"\x01"))
        assert worker.flush(soon()) is expected


def test_flush_ends_at_its_deadline() -> None:
    with a_worker(Judge(lambda _: Retry("503"))) as worker:
        worker.put(batch(b"\x01"))
        assert worker.flush(soon(SHORT)) is False


def test_what_was_given_up_before_does_not_spoil_the_next_flush() -> None:
    with a_worker(Judge(in_turn(Rejected("refused", "405")))) as worker:
        worker.put(batch(b"\x01"))
        assert worker.flush(soon()) is False
        worker.put(batch(b"\x02"))
        assert worker.flush(soon())
