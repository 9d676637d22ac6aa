"""The cases of the ledger one by one; `test_ledger_laws.py` has the laws over any history."""

from dataclasses import replace

import numpy as np
import pytest

from ss_pusher import ledger as module
from ss_pusher.ledger import Ledger, each_once
from ss_pusher.model import Flows, LedgerField, Movement
from tests.flows import Flow, flows, sockets

NOTHING = flows()
ESTABLISHED = {"min_rtt": 100, "delivered": 1}


def ledger() -> Ledger:
    return Ledger(["segs_out", "total_rto"])


def tick(book: Ledger, opened: Flows = NOTHING, closed: Flows = NOTHING, *, complete: bool = True) -> Movement:
    return book.advance(opened, closed, complete=complete)


def total(movement: Movement, field: str) -> int:
    return int(movement.increments[movement.fields.index(field)].sum())


def counted(movement: Movement) -> dict[str, int]:
    """What the ledger counted by itself, where it is not 0."""
    return {name.name: count for name in LedgerField if (count := total(movement, name))}


def sent(cookie: int, amount: int, **more: int) -> Flow:
    return Flow(cookie, {**ESTABLISHED, "bytes_sent": amount, **more})


def test_what_moved_before_the_first_tick_is_credited_to_nobody() -> None:
    assert not tick(ledger(), flows(sent(1, 1000)), flows(sent(2, 500))).increments[:-5].any()


def test_an_open_flow_is_credited_what_it_moved_since_the_tick_before() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    assert total(tick(book, flows(sent(1, 1234))), "bytes_sent") == 234


def test_a_flow_that_is_new_later_is_credited_in_full() -> None:
    book = ledger()
    tick(book)
    movement = tick(book, flows(sent(1, 1000)))
    assert total(movement, "bytes_sent") == 1000
    assert counted(movement) == {"OPENED": 1}


def test_a_flow_that_lived_between_two_ticks_is_credited_by_its_event() -> None:
    book = ledger()
    tick(book)
    movement = tick(book, closed=flows(sent(1, 1000)))
    assert total(movement, "bytes_sent") == 1000
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1}
    assert movement.closed_bytes.tolist() == [1000]


def test_a_flow_that_closes_is_credited_final_less_last_and_then_forgotten() -> None:
    book = ledger()
    tick(book)
    tick(book, flows(sent(1, 1000)))
    movement = tick(book, closed=flows(sent(1, 1700)))
    assert total(movement, "bytes_sent") == 700
    assert counted(movement) == {"CLOSED": 1}
    assert counted(tick(book)) == counted(tick(book)) == {}


def test_a_flow_that_closes_between_the_dump_and_the_drain_is_counted_once() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    movement = tick(book, flows(sent(1, 1300)), flows(sent(1, 1400)))
    assert total(movement, "bytes_sent") == 400
    assert counted(tick(book)) == {}


def test_a_flow_that_was_dumped_and_then_closed_is_not_awaited() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)), flows(sent(1, 1000)))
    assert [counted(tick(book, complete=False)) for _ in range(3)] == [{}] * 3


def test_a_flow_that_closes_during_the_first_tick_is_credited_since_its_dump() -> None:
    movement = tick(ledger(), flows(sent(1, 1000)), flows(sent(1, 1100)))
    assert total(movement, "bytes_sent") == 100


def test_an_event_may_come_one_tick_late() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    assert book.awaited() == 0
    assert counted(tick(book)) == {}
    assert book.awaited() == 1
    movement = tick(book, closed=flows(sent(1, 1500)))
    assert book.awaited() == 0
    assert total(movement, "bytes_sent") == 500
    assert counted(movement) == {"CLOSED": 1}


def test_a_dead_socket_that_its_application_holds_is_not_counted_twice() -> None:
    """A reset connection leaves the dumps at once; its event comes when the application closes it."""
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    assert [counted(tick(book)) for _ in range(5)] == [{}] * 5
    movement = tick(book, closed=flows(sent(1, 1500)))
    assert total(movement, "bytes_sent") == 500
    assert counted(movement) == {"CLOSED": 1}
    assert movement.closed_bytes.tolist() == [1500]


@pytest.mark.parametrize("lossy", [1, 2], ids=["events lost at once", "events lost a tick later"])
def test_a_flow_of_which_two_ticks_say_nothing_while_events_are_lost_is_lost_and_nothing_is_guessed(lossy: int) -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    assert counted(tick(book, complete=lossy != 1)) == {}
    movement = tick(book, complete=lossy != 2)
    assert counted(movement) == {"LOST": 1}
    assert total(movement, "bytes_sent") == 0
    assert movement.closed_bytes.tolist() == []
    assert counted(tick(book, complete=False)) == {}


def test_a_flow_that_counts_as_lost_and_is_heard_of_after_all_is_not_counted_twice() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    tick(book, complete=False)
    tick(book)
    movement = tick(book, closed=flows(sent(1, 1500)))
    assert total(movement, "bytes_sent") == 500
    assert counted(movement) == {"CLOSED": 1}


def test_the_oldest_of_too_many_vanished_flows_are_forgotten_and_count_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AWAITED", 2)
    book = ledger()
    tick(book, flows(sent(1, 10), sent(2, 10), sent(3, 10)))
    assert counted(tick(book, flows(sent(2, 10), sent(3, 10)))) == {}
    movement = tick(book)
    assert counted(movement) == {"LOST": 1}
    event = tick(book, closed=flows(sent(2, 11), sent(3, 12)))
    assert total(event, "bytes_sent") == 3


def test_a_flow_that_one_dump_missed_goes_on_from_its_baseline() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    tick(book)
    movement = tick(book, flows(sent(1, 1010)))
    assert total(movement, "bytes_sent") == 10
    assert counted(movement) == {}


@pytest.mark.parametrize(("field", "bits"), [("segs_out", 32), ("total_rto", 16)])
def test_a_narrow_counter_wraps(field: str, bits: int) -> None:
    book = ledger()
    tick(book, flows(sent(1, 1, **{field: (1 << bits) - 3})))
    assert total(tick(book, flows(sent(1, 2, **{field: 4}))), field) == 7


def test_a_flow_whose_counters_fell_was_connected_again_and_counts_from_0() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000, segs_out=50)))
    movement = tick(book, flows(sent(1, 10, segs_out=2)))
    assert total(movement, "bytes_sent") == 10
    assert total(movement, "segs_out") == 2
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1, "WIPED": 1}


@pytest.mark.parametrize(
    "again",
    [replace(sent(1, 1500), remote_port=80), replace(sent(1, 1500), local_port=80), replace(sent(1, 1500), peer=2)],
    ids=["remote port", "local port", "peer"],
)
def test_a_flow_with_another_peer_or_port_was_connected_again_even_if_no_counter_fell(again: Flow) -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    assert total(tick(book, flows(again)), "bytes_sent") == 1500


def test_what_a_socket_keeps_when_it_is_connected_again_is_not_counted_twice() -> None:
    book = Ledger(["busy_time"])
    tick(book, flows(sent(1, 1000, busy_time=500)))
    movement = tick(book, flows(replace(sent(1, 1500, busy_time=503), remote_port=80)))
    assert (total(movement, "bytes_sent"), total(movement, "busy_time")) == (1500, 3)


def test_what_an_aborted_flow_keeps_is_not_counted_twice() -> None:
    book = Ledger(["busy_time", "total_rto"])
    tick(book, flows(sent(1, 1000, busy_time=500, total_rto=40_000)))
    movement = tick(book, closed=flows(Flow(1, {"min_rtt": 100, "busy_time": 503}, remote_port=0)))
    moved = [total(movement, name) for name in ("bytes_sent", "busy_time", "total_rto")]
    assert moved == [0, 3, 0]


def test_segments_that_fell_without_payload_are_no_wrap() -> None:
    """A connection attempt given up and tried again: only the SYNs were counted."""
    book = ledger()
    tick(book, flows(Flow(1, {"segs_out": 5, "total_rto": 4})))
    movement = tick(book, flows(Flow(1, {"segs_out": 1, "total_rto": 6})))
    assert (total(movement, "segs_out"), total(movement, "total_rto")) == (1, 6)


def test_a_counter_that_falls_while_the_flow_lives_begins_again_alone() -> None:
    """Such as busy_time, which the kernel keeps in 32 bits of its own clock: after weeks it begins again."""
    book = Ledger(["busy_time"])
    tick(book, flows(sent(1, 1000, busy_time=1 << 42)))
    movement = tick(book, flows(sent(1, 1010, busy_time=70)))
    assert (total(movement, "bytes_sent"), total(movement, "busy_time")) == (10, 70)
    assert counted(movement) == {}


def test_a_flow_that_is_new_with_a_counter_above_half_its_range_is_credited_in_full() -> None:
    book = ledger()
    tick(book)
    movement = tick(book, flows(sent(1, 1, segs_out=(1 << 32) - 5)))
    assert total(movement, "segs_out") == (1 << 32) - 5
    assert counted(movement) == {"OPENED": 1}


def test_an_aborted_flow_keeps_what_the_last_dump_knew_and_is_counted_on_its_own() -> None:
    book = ledger()
    tick(book)
    tick(book, flows(sent(1, 1000, segs_out=9)))
    movement = tick(book, closed=flows(Flow(1, {"min_rtt": 100}, remote_port=0)))
    assert total(movement, "bytes_sent") == total(movement, "segs_out") == 0
    assert counted(movement) == {"CLOSED": 1, "WIPED": 1}
    assert movement.closed_bytes.tolist() == [1000]


def test_an_aborted_flow_that_no_dump_saw_has_no_size() -> None:
    book = ledger()
    tick(book)
    movement = tick(book, closed=flows(Flow(1, {"min_rtt": 100}, remote_port=0)))
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1, "WIPED": 1}
    assert movement.closed_bytes.tolist() == []


@pytest.mark.parametrize("remote_port", [0, 443], ids=["blocking", "not blocking"])
def test_a_connection_that_was_never_established_is_a_connect_failure(remote_port: int) -> None:
    book = ledger()
    tick(book)
    movement = tick(book, closed=flows(Flow(1, {"segs_out": int(remote_port > 0)}, remote_port=remote_port)))
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1, "CONNECT_FAILURES": 1}
    assert movement.closed_bytes.tolist() == []


@pytest.mark.parametrize("sign", ["bytes_acked", "bytes_received", "delivered"])
def test_a_connection_whose_round_trip_was_never_measured_is_no_connect_failure(sign: str) -> None:
    book = ledger()
    tick(book)
    assert counted(tick(book, closed=flows(Flow(1, {sign: 1})))) == {"OPENED": 1, "CLOSED": 1}


def test_a_connect_failure_that_a_dump_saw_keeps_the_name_it_had_there() -> None:
    book = ledger()
    tick(book)
    tick(book, flows(Flow(1, {"segs_out": 2}, key=7)))
    movement = tick(book, closed=flows(Flow(1, {}, key=99, remote_port=0)))
    assert counted(movement) == {"CLOSED": 1, "CONNECT_FAILURES": 1}
    assert movement.keys.tolist() == [[7]]


def test_an_event_bears_the_name_and_the_filters_verdict_of_the_last_dump() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1)))
    dropped = sent(2, 5)
    dropped.key, dropped.kept = 3, False
    tick(book, flows(sent(1, 1), dropped))
    event = sent(2, 9)
    event.key = 99
    movement = tick(book, flows(sent(1, 1)), flows(event))
    assert movement.keys.tolist() == [[1], [3]]
    assert movement.kept.tolist() == [True, False]


def test_the_size_of_a_flow_is_observed_if_the_last_dump_says_that_it_is_kept() -> None:
    """A rule may ask for what an event does not tell, such as a unit."""
    book = ledger()
    kept, dropped = sent(1, 10), sent(2, 20)
    dropped.kept = False
    tick(book, flows(kept, dropped))
    kept.kept, dropped.kept = False, True
    assert tick(book, closed=flows(kept, dropped)).closed_bytes.tolist() == [10]


def test_the_size_of_a_flow_is_never_absurd() -> None:
    """The kernel counts a retransmission before it knows that it could be sent."""
    book = ledger()
    tick(book)
    unsent = sent(1, 100, bytes_retrans=150, bytes_received=7)
    assert tick(book, closed=flows(unsent)).closed_bytes.tolist() == [7]


def test_a_flow_that_lived_twice_between_two_ticks_has_its_second_life_credited() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1000)))
    movement = tick(book, closed=flows(sent(1, 300)))
    assert total(movement, "bytes_sent") == 300
    assert counted(movement) == {"OPENED": 1, "CLOSED": 2, "WIPED": 1}
    assert movement.closed_bytes.tolist() == [300]


def test_groups_may_have_no_label_at_all() -> None:
    def bare(*records: Flow) -> Flows:
        return replace(flows(*records), keys=np.empty((len(records), 0), np.uint64))

    book = ledger()
    tick(book, bare(sent(1, 1)), bare())
    movement = tick(book, bare(sent(1, 2)), bare(sent(2, 5)))
    assert movement.keys.shape == (2, 0)
    assert total(movement, "bytes_sent") == 6


def test_each_once_keeps_the_first_row_of_a_cookie() -> None:
    once = each_once(sockets([sent(2, 20), sent(1, 10), sent(2, 21)]))
    assert once.cookie.tolist() == [2, 1]
    assert once.info["bytes_sent"].tolist() == [20, 10]


def test_rows_stand_in_the_order_in_which_they_were_given() -> None:
    book = ledger()
    tick(book, flows(sent(1, 1), sent(2, 2), sent(3, 3)))
    movement = tick(book, flows(sent(3, 33), sent(4, 4), sent(1, 11)), flows(sent(2, 22)))
    assert movement.increments[movement.fields.index("bytes_sent")].tolist() == [30, 4, 10, 20]
    assert np.array_equal(movement.kept, [True] * 4)
