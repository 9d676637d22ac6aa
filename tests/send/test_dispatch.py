"""What becomes of a request by each verdict."""

import logging
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.errors import EncodeError
from ss_pusher.model import Protocol, Request
from ss_pusher.send.condition import Condition
from ss_pusher.send.dispatch import (
    HELD_FOR_AT_LEAST,
    HELD_FOR_AT_MOST,
    OUTAGE,
    TRIES_TO_FIND_THE_BAD,
    Dispatcher,
    Limits,
    Reshape,
)
from ss_pusher.send.pace import SLOWEST
from ss_pusher.send.verdict import Accepted, Downgrade, Held, Rejected, Retry, Split, Verdict
from ss_pusher.telemetry import Telemetry
from tests.send.endpoints import NAME, RESHAPE, Clock, Judge, batch, halves, in_turn, joined, memory_queue

ALMOST_1 = 1 - 2**-53
FAR = 1e12


class Endpoint:
    """A dispatcher with a queue, a sink and a clock that tests look into."""

    def __init__(
        self,
        verdict: Callable[[Request], Verdict] = lambda _: Accepted(),
        limits: Limits | None = None,
        reshape: Reshape | None = RESHAPE,
        *,
        ask_first: bool = False,
        patient: Callable[[], float] | None = None,
    ) -> None:
        self.clock = Clock()
        self.set_back = 0.0
        self.latest = math.inf
        self.asked: list[float] = []
        self.tells: float | None = None
        self.queue = memory_queue(self.clock)
        self.sink = Judge(verdict)
        self.telemetry = Telemetry()
        self.dispatcher = Dispatcher(
            NAME,
            self.queue,
            self.sink,
            limits or Limits(samples_per_send=1),
            self.telemetry,
            reshape=reshape,
            uniform=lambda: ALMOST_1,
            clock=self.clock,
            now=lambda: self.clock() - self.set_back,
            latest=lambda: self.latest,
            ask=self.ask,
            ask_first=ask_first,
            patient=patient,
        )

    def ask(self, deadline: float) -> bool:
        """The receiver tells its time, if it has one to tell."""
        self.asked.append(deadline)
        self.latest = self.latest if self.tells is None else self.tells
        return self.tells is not None

    def put(self, *batches: bytes) -> None:
        for samples in batches:
            self.queue.put(batch(samples))

    def step(self, until: float = FAR) -> float:
        """One step, then let the time pass that it asks for."""
        delay = self.dispatcher.step(0.0, until)
        self.clock.now += delay
        return delay

    def drain(self, steps: int = 1000) -> None:
        for _ in range(steps):
            self.step()
            if not self.queue.pending().requests:
                return
        raise AssertionError(f"not done after {steps} steps: {self.queue.pending()}")

    def count(self, name: str, **labels: str) -> float:
        return self.telemetry.value(f"ss_pusher_{name}", endpoint=NAME, **labels)


def test_what_is_accepted_leaves_the_queue_in_order_and_is_counted() -> None:
    endpoint = Endpoint()
    endpoint.put(b"\x01\x02", b"\x03", b"\x05\x04")
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01\x02", b"\x03", b"\x05\x04"]
    assert endpoint.count("samples_sent_total") == 5
    assert endpoint.count("sent_bytes_total") == 5
    assert endpoint.count("requests_total", outcome="accepted") == 3
    assert endpoint.count("queue_highest_sent_timestamp_seconds") == 5
    assert endpoint.dispatcher.given_up == 0


def test_nothing_to_send_is_no_push() -> None:
    endpoint = Endpoint()

    assert endpoint.step() == 0
    assert endpoint.sink.pushed == []


def test_a_retry_keeps_the_request_and_its_place_and_backs_off_doubling() -> None:
    endpoint = Endpoint(in_turn(*[Retry("503")] * 8), Limits(min_backoff=1, max_backoff=60, samples_per_send=1))
    endpoint.put(b"\x01", b"\x02")
    delays = [round(endpoint.step()) for _ in range(8)]
    endpoint.drain()

    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    assert endpoint.sink.pushed == [b"\x01"] * 9 + [b"\x02"]
    assert endpoint.count("samples_retried_total") == 8
    assert endpoint.count("requests_total", outcome="retry") == 8


def test_what_failed_is_tried_again_as_it_was_and_what_came_since_goes_after_it() -> None:
    endpoint = Endpoint(in_turn(Retry("no answer"), Retry("no answer"), Accepted()), Limits(samples_per_send=100))
    endpoint.put(b"\x01\x02", b"\x03")
    endpoint.step()
    endpoint.put(b"\x04")
    endpoint.step()
    endpoint.put(b"\x05")
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01\x02\x03"] * 3 + [b"\x04\x05"]


def test_what_is_refused_when_it_is_sent_again_was_taken_the_first_time_and_is_no_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refuse = Split("refused", "400: out of order sample")
    endpoint = Endpoint(in_turn(Retry("no answer"), *[refuse] * 5, Accepted(), refuse), Limits(samples_per_send=100))
    endpoint.put(b"\x01\x02", b"\x03")
    endpoint.step()
    endpoint.put(b"\x04")
    endpoint.drain()
    assert endpoint.count("samples_dropped_total", reason="repeated") == 3
    assert endpoint.count("samples_sent_total") == 1
    assert Condition.REJECTING.value not in caplog.text
    endpoint.put(b"\x05")
    endpoint.drain()
    assert endpoint.count("samples_dropped_total", reason="refused") == 1
    assert Condition.REJECTING.value in caplog.text


def test_a_success_ends_the_backing_off() -> None:
    endpoint = Endpoint(in_turn(Retry("503"), Retry("503"), Accepted(), Retry("503")))
    endpoint.put(b"\x01", b"\x02")

    assert [round(endpoint.step()) for _ in range(4)] == [1, 2, 0, 1]


def test_a_server_that_asks_for_time_gets_it_and_the_jitter_on_top() -> None:
    endpoint = Endpoint(in_turn(Retry("429", after=17)))
    endpoint.put(b"\x01")

    assert 17 < endpoint.step() <= 18


def test_what_a_setting_mends_is_kept_and_tried_again_slowly() -> None:
    endpoint = Endpoint(in_turn(*[Held("401")] * 12))
    endpoint.put(b"\x01")
    delays = [endpoint.step() for _ in range(12)]
    assert endpoint.dispatcher.held
    endpoint.drain()

    assert min(delays) >= HELD_FOR_AT_LEAST
    assert delays == sorted(delays)
    assert round(delays[-1]) == HELD_FOR_AT_MOST
    assert endpoint.sink.accepted == b"\x01"
    assert endpoint.dispatcher.held is False


def test_what_is_rejected_is_dropped_and_counted_by_reason_and_the_next_goes_on() -> None:
    endpoint = Endpoint(in_turn(Rejected("refused", "405", written=1)))
    endpoint.put(b"\x01\x02\x03", b"\x04")
    endpoint.drain()

    assert endpoint.sink.accepted == b"\x04"
    assert endpoint.count("samples_dropped_total", reason="refused") == 2
    assert endpoint.count("samples_sent_total") == 2
    assert endpoint.dispatcher.given_up == 2


def test_a_downgrade_that_nobody_resolved_is_a_rejection() -> None:
    endpoint = Endpoint(in_turn(Downgrade("415")))
    endpoint.put(b"\x01")
    endpoint.drain()

    assert endpoint.count("samples_dropped_total", reason="unsupported") == 1


def test_what_a_server_says_it_did_not_write_is_counted() -> None:
    endpoint = Endpoint(in_turn(Accepted(written=1), Accepted(written=99)))
    endpoint.put(b"\x01\x02\x03", b"\x04")
    endpoint.drain()

    assert endpoint.count("samples_dropped_total", reason="not_written") == 2
    assert endpoint.count("samples_sent_total") == 2


def test_a_push_has_its_timeout_or_what_is_left_until_the_end() -> None:
    endpoint = Endpoint(limits=Limits(timeout=30))
    endpoint.put(b"\x01")
    endpoint.step()
    endpoint.put(b"\x02")
    endpoint.step(until=1005)

    assert endpoint.sink.deadlines == [1030, 1005]


def test_what_is_too_old_is_not_sent() -> None:
    endpoint = Endpoint(limits=Limits(sample_age=950, samples_per_send=10))
    endpoint.put(b"\x0a\x0b", b"\x31", b"\x32", b"\x33")
    endpoint.drain()

    assert endpoint.sink.accepted == b"\x32\x33"
    assert endpoint.count("samples_dropped_total", reason="too_old") == 3
    assert endpoint.dispatcher.given_up == 3


def test_what_is_too_old_is_said_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint(limits=Limits(sample_age=1, samples_per_send=10))
    for later in (0, 1800, 1800):
        endpoint.clock.now += later
        endpoint.put(b"\x0a\x0b")
        endpoint.drain()
    assert [record.getMessage() for record in caplog.records] == [
        f"{NAME}: samples older than sample_age_limit are dropped, {samples} since the start" for samples in (2, 6)
    ]


def test_a_leap_of_our_clock_drops_nothing_that_is_timely_for_the_receiver() -> None:
    for leap in (1e6, -1e6):
        endpoint = Endpoint(limits=Limits(sample_age=950, sample_future=600, samples_per_send=10))
        endpoint.put(b"\x33", b"\x34")
        endpoint.latest, endpoint.set_back = endpoint.clock.now, -leap
        endpoint.step()
        endpoint.set_back = 0.0
        endpoint.drain()
        assert endpoint.sink.accepted == b"\x33\x34"
        assert endpoint.dispatcher.given_up == 0


def test_a_leap_of_our_clock_is_not_believed_at_once_while_the_receiver_has_not_answered() -> None:
    told = [1000.0]
    limits = Limits(sample_age=950, sample_future=600, samples_per_send=10)
    endpoint = Endpoint(lambda _: Retry("503"), limits, patient=lambda: told[0])
    endpoint.put(b"\x33", b"\x34")
    endpoint.set_back = -1e6
    endpoint.step()
    assert endpoint.dispatcher.given_up == 0
    told[0] = 1e6
    endpoint.step()
    assert endpoint.dispatcher.given_up == 2


def test_after_the_clock_was_set_back_what_is_from_the_future_waits_until_it_is_not() -> None:
    endpoint = Endpoint(limits=Limits(sample_future=600, samples_per_send=10))
    endpoint.put(b"\x31", b"\x32", b"\x50\x51", b"\x60")
    endpoint.set_back = endpoint.clock.now - (0x32 - 0.5)
    sent_at: list[float] = []
    while endpoint.queue.pending().requests:
        before, now = len(endpoint.sink.pushed), endpoint.clock.now - endpoint.set_back
        endpoint.step()
        sent_at += [round(now)] * (len(endpoint.sink.pushed) - before)

    assert endpoint.sink.pushed == [b"\x31", b"\x32", b"\x50\x51", b"\x60"]
    assert sent_at == [0x32, 0x32, 0x51, 0x60]
    assert endpoint.dispatcher.given_up == 0


def test_what_is_from_the_future_for_the_receiver_waits_and_its_time_is_asked_for() -> None:
    endpoint = Endpoint(limits=Limits(sample_future=600, samples_per_send=10, timeout=7))
    endpoint.put(b"\x31", b"\x32", b"\x50")
    endpoint.latest = 0x32
    for _ in range(3):
        endpoint.step()
    assert endpoint.sink.pushed == [b"\x31", b"\x32"]
    began = endpoint.clock.now
    assert endpoint.step() == 0x50 - 0x32
    assert endpoint.asked == [began + 7]

    endpoint.latest = 0x50
    endpoint.drain()
    assert endpoint.sink.pushed == [b"\x31", b"\x32", b"\x50"]
    assert endpoint.dispatcher.given_up == 0


def test_however_late_the_receiver_is_its_time_is_asked_for_now_and_then() -> None:
    endpoint = Endpoint(limits=Limits(sample_future=600, samples_per_send=10))
    endpoint.put(b"\x50")
    endpoint.latest = -1e6
    assert [endpoint.step() for _ in range(3)] == [HELD_FOR_AT_LEAST] * 3
    assert len(endpoint.asked) == 3


def test_a_receiver_that_has_not_answered_yet_is_asked_for_its_time_before_anything_is_sent() -> None:
    endpoint = Endpoint(limits=Limits(sample_future=600, timeout=7, samples_per_send=1), ask_first=True)
    endpoint.put(b"\x31", b"\x32")
    endpoint.tells, began = 0x2E, endpoint.clock.now
    assert endpoint.step() == 0x31 - 0x2E
    assert (endpoint.sink.pushed, endpoint.asked[0]) == ([], began + 7)

    endpoint.latest = 0x32
    endpoint.drain()
    assert endpoint.sink.pushed == [b"\x31", b"\x32"]
    assert endpoint.asked == [began + 7] * 2  # before anything, and because it was behind


def test_a_receiver_that_does_not_answer_is_asked_before_each_try_until_one_succeeds() -> None:
    endpoint = Endpoint(in_turn(Retry("503"), Retry("503"), Accepted(), Accepted()), ask_first=True)
    endpoint.put(b"\x31", b"\x32")
    endpoint.drain()
    assert len(endpoint.asked) == 3
    assert endpoint.dispatcher.given_up == 0


def test_what_is_from_far_in_the_future_is_dropped() -> None:
    endpoint = Endpoint(limits=Limits(sample_future=100, samples_per_send=10))
    endpoint.put(b"\x01", b"\x70\x71", b"\x02")
    endpoint.set_back = endpoint.clock.now - 2
    endpoint.drain()

    assert endpoint.sink.accepted == b"\x01\x02"
    assert endpoint.count("samples_dropped_total", reason="future") == 2


def test_where_nothing_bears_a_time_nothing_waits_for_it() -> None:
    endpoint = Endpoint(reshape=None)
    endpoint.put(b"\x70")
    endpoint.set_back = endpoint.clock.now
    endpoint.drain()

    assert endpoint.sink.accepted == b"\x70"


def test_a_backlog_goes_in_full_requests() -> None:
    endpoint = Endpoint(limits=Limits(samples_per_send=4))
    endpoint.put(b"\x01\x02", b"\x03", b"\x04\x05", b"\x06", b"\x07\x08\x09\x0a\x0b")
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01\x02\x03", b"\x04\x05\x06", b"\x07\x08\x09\x0a\x0b"]


def test_a_backlog_goes_at_a_bounded_rate() -> None:
    endpoint = Endpoint()
    for number in range(120):
        endpoint.put(bytes([number]))
    started = endpoint.clock.now
    endpoint.drain()

    assert endpoint.clock.now - started == pytest.approx(10.0, rel=0.05)  # 20 at once, then 10 a second


@pytest.mark.parametrize(("outage", "gap"), [(OUTAGE + 90, 1 / SLOWEST), (OUTAGE / 4, 0.0)])
def test_after_an_outage_a_backlog_goes_slowly_and_after_a_hiccup_as_ever(outage: float, gap: float) -> None:
    away = [True]
    endpoint = Endpoint(lambda _: Retry("away") if away[0] else Accepted())
    endpoint.put(b"\x01", b"\x02", b"\x03", b"\x04")
    over = endpoint.clock.now + outage
    while endpoint.clock.now < over:
        endpoint.step()
    away[0] = False
    assert [endpoint.step() for _ in range(3)] == pytest.approx([gap, gap, gap])


def test_without_a_way_to_reshape_requests_go_as_they_are() -> None:
    endpoint = Endpoint(in_turn(Split("too_large", "413")), Limits(samples_per_send=100), reshape=None)
    endpoint.put(b"\x01\x02", b"\x03")
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01\x02", b"\x03"]
    assert endpoint.count("samples_dropped_total", reason="too_large") == 2


# ---- splitting ------------------------------------------------------------------------------------------------------


def larger_than(size: int) -> Callable[[Request], Verdict]:
    return lambda request: Split("too_large", "413") if len(request.body) > size else Accepted()


def test_what_is_too_large_is_split_until_it_fits_and_stays_in_order() -> None:
    endpoint = Endpoint(larger_than(3), Limits(samples_per_send=100))
    endpoint.put(bytes(range(20)))
    endpoint.put(bytes([20, 21]))
    endpoint.drain()

    assert endpoint.sink.accepted == bytes(range(22))
    assert endpoint.dispatcher.given_up == 0


def test_a_limit_of_bytes_is_kept_without_asking_the_server() -> None:
    endpoint = Endpoint(limits=Limits(bytes_per_send=3, samples_per_send=100))
    endpoint.put(bytes(range(20)))
    endpoint.drain()

    assert max(map(len, endpoint.sink.pushed)) <= 3
    assert endpoint.sink.accepted == bytes(range(20))


def test_a_sample_too_large_by_itself_is_given_up() -> None:
    endpoint = Endpoint(larger_than(0))
    endpoint.put(b"\x01\x02")
    endpoint.drain()

    assert endpoint.count("samples_dropped_total", reason="too_large") == 2


def without(bad: set[int]) -> Callable[[Request], Verdict]:
    """A 1.0 receiver: one bad sample refuses the request."""
    return lambda request: Split("refused", "400") if bad & set(request.body) else Accepted()


@given(st.integers(1, 255), st.data())
def test_a_bad_sample_is_isolated_and_all_others_arrive_in_order(samples: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, samples - 1), max_size=2))
    endpoint = Endpoint(without(bad), Limits(samples_per_send=300))
    endpoint.put(bytes(range(samples)))
    endpoint.drain()

    assert endpoint.sink.accepted == bytes(number for number in range(samples) if number not in bad)
    assert endpoint.count("samples_dropped_total", reason="refused") == len(bad)
    assert endpoint.dispatcher.given_up == len(bad)


def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    endpoint = Endpoint(lambda _: Split("refused", "400"))
    endpoint.put(bytes(range(256)))
    endpoint.drain()

    assert len(endpoint.sink.pushed) <= 2 * TRIES_TO_FIND_THE_BAD + 1
    assert endpoint.count("samples_dropped_total", reason="refused") == 256


def test_the_search_for_the_bad_begins_anew_with_the_next_batch() -> None:
    endpoint = Endpoint(without({0, 7, 100, 250}))
    endpoint.put(*(bytes(range(start, start + 64)) for start in (0, 64, 128, 192)))
    endpoint.drain()

    assert len(endpoint.sink.accepted) == 252


def test_parts_are_never_joined_again() -> None:
    endpoint = Endpoint(larger_than(2), Limits(samples_per_send=4))
    endpoint.put(b"\x01\x02\x03\x04", b"\x05")
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01\x02\x03\x04", b"\x01\x02", b"\x03\x04", b"\x05"]


def test_a_retry_amid_the_parts_loses_nothing() -> None:
    verdicts = in_turn(Split("too_large", "413"), Retry("503"), Accepted(), Retry("503"))
    endpoint = Endpoint(verdicts, Limits(samples_per_send=4))
    endpoint.put(b"\x01\x02\x03\x04", b"\x05")
    endpoint.drain()

    assert endpoint.sink.accepted == b"\x01\x02\x03\x04\x05"


def test_parts_that_the_queue_dropped_are_not_waited_for() -> None:
    endpoint = Endpoint(in_turn(Split("too_large", "413")), Limits(samples_per_send=4))
    endpoint.put(b"\x01\x02")
    endpoint.step()
    endpoint.queue.lease(0.0, 2)
    endpoint.queue.acknowledge()  # both parts, as if they had become too old
    endpoint.step()
    endpoint.put(b"\x03", b"\x04")
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01\x02", b"\x03\x04"]


def broken(_: object) -> Request:
    raise EncodeError("field 3 has the wrong wire type")


def broken_split(_: Request) -> list[Request]:
    raise EncodeError("field 3 has the wrong wire type")


def test_what_cannot_be_joined_goes_alone(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint(limits=Limits(samples_per_send=10), reshape=Reshape(split=halves, merge=broken))
    endpoint.put(b"\x01", b"\x02", b"\x03")
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01", b"\x02", b"\x03"]
    assert "field 3" in caplog.text


def test_what_cannot_be_split_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint(in_turn(Split("refused", "400")), reshape=Reshape(split=broken_split, merge=joined))
    endpoint.put(b"\x01\x02", b"\x03")
    endpoint.drain()

    assert endpoint.sink.accepted == b"\x03"
    assert endpoint.count("samples_dropped_total", reason="refused") == 2
    assert "field 3" in caplog.text


# ---- mistakes of our own --------------------------------------------------------------------------------------------


def test_a_sink_that_raises_is_tried_again_and_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def verdict(_: Request) -> Verdict:
        if len(endpoint.sink.pushed) == 1:
            raise KeyError("nobody thought of this")
        return Accepted()

    endpoint = Endpoint(verdict)
    endpoint.put(b"\x01")
    endpoint.drain()

    assert endpoint.sink.accepted == b"\x01"
    (error,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert error.exc_info


# ---- all of it ------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 8), max_size=12),
    st.lists(st.sampled_from(["accept", "retry", "held", "split", "too_large", "reject"]), max_size=60),
    st.integers(1, 10),
)
def test_nothing_is_lost_or_out_of_order_whatever_the_server_says(
    sizes: list[int], answers: list[str], samples_per_send: int
) -> None:
    verdicts: dict[str, Verdict] = {
        "accept": Accepted(),
        "retry": Retry("503"),
        "held": Held("401"),
        "split": Split("refused", "400"),
        "too_large": Split("too_large", "413"),
        "reject": Rejected("refused", "405"),
    }
    endpoint = Endpoint(in_turn(*(verdicts[a] for a in answers)), Limits(samples_per_send=samples_per_send))
    first = 0
    for size in sizes:
        endpoint.put(bytes(range(first, first + size)))
        first += size
    if sizes:
        endpoint.drain()

    accepted = endpoint.sink.accepted
    assert accepted == bytes(sorted(set(accepted)))
    assert len(accepted) + endpoint.dispatcher.given_up == first
    assert endpoint.count("samples_sent_total") == len(accepted)


def test_requests_of_two_protocols_are_not_joined() -> None:
    endpoint = Endpoint(limits=Limits(samples_per_send=10))
    endpoint.queue.put(batch(b"\x01", Protocol.REMOTE_WRITE_2))
    endpoint.queue.put(batch(b"\x02", Protocol.REMOTE_WRITE_1))
    endpoint.drain()

    assert endpoint.sink.pushed == [b"\x01", b"\x02"]
