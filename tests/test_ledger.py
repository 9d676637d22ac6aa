"""The cases of the ledger one by one; `test_ledger_laws.py` has the laws over any history."""

import numpy as np
import pytest

from ss_pusher.ledger import Ledger, each_once
from ss_pusher.model import LedgerField, Movement
from tests.flows import Flow, flows, sockets

NOTHING = flows()
ESTABLISHED = {"min_rtt": 100, "delivered": 1}


def ledger() -> Ledger:
    return Ledger(["segs_out", "total_rto"])


def total(movement: Movement, field: str) -> int:
    return int(movement.increments[movement.fields.index(field)].sum())


def counted(movement: Movement) -> dict[str, int]:
    """What the ledger counted by itself, where it is not 0."""
    return {name.name: count for name in LedgerField if (count := total(movement, name))}


def sent(cookie: int, amount: int, **more: int) -> Flow:
    return Flow(cookie, {**ESTABLISHED, "bytes_sent": amount, **more})


def test_what_moved_before_the_first_tick_is_credited_to_nobody() -> None:
    assert not ledger().advance(flows(sent(1, 1000)), flows(sent(2, 500))).increments[:-5].any()


def test_an_open_flow_is_credited_what_it_moved_since_the_tick_before() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1000)), NOTHING)
    assert total(book.advance(flows(sent(1, 1234)), NOTHING), "bytes_sent") == 234


def test_a_flow_that_is_new_later_is_credited_in_full() -> None:
    book = ledger()
    book.advance(NOTHING, NOTHING)
    movement = book.advance(flows(sent(1, 1000)), NOTHING)
    assert total(movement, "bytes_sent") == 1000
    assert counted(movement) == {"OPENED": 1}


def test_a_flow_that_lived_between_two_ticks_is_credited_by_its_event() -> None:
    book = ledger()
    book.advance(NOTHING, NOTHING)
    movement = book.advance(NOTHING, flows(sent(1, 1000)))
    assert total(movement, "bytes_sent") == 1000
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1}
    assert movement.closed_bytes.tolist() == [1000]


def test_a_flow_that_closes_is_credited_final_less_last_and_then_forgotten() -> None:
    book = ledger()
    book.advance(NOTHING, NOTHING)
    book.advance(flows(sent(1, 1000)), NOTHING)
    movement = book.advance(NOTHING, flows(sent(1, 1700)))
    assert total(movement, "bytes_sent") == 700
    assert counted(movement) == {"CLOSED": 1}
    assert counted(book.advance(NOTHING, NOTHING)) == counted(book.advance(NOTHING, NOTHING)) == {}


def test_a_flow_that_closes_between_the_dump_and_the_drain_is_counted_once() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1000)), NOTHING)
    movement = book.advance(flows(sent(1, 1300)), flows(sent(1, 1400)))
    assert total(movement, "bytes_sent") == 400
    assert counted(book.advance(NOTHING, NOTHING)) == {}


def test_a_flow_that_closes_during_the_first_tick_is_credited_since_its_dump() -> None:
    movement = ledger().advance(flows(sent(1, 1000)), flows(sent(1, 1100)))
    assert total(movement, "bytes_sent") == 100


def test_an_event_may_come_one_tick_late() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1000)), NOTHING)
    assert counted(book.advance(NOTHING, NOTHING)) == {}
    movement = book.advance(NOTHING, flows(sent(1, 1500)))
    assert total(movement, "bytes_sent") == 500
    assert counted(movement) == {"CLOSED": 1}


def test_a_flow_of_which_two_ticks_say_nothing_is_lost_and_nothing_is_guessed() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1000)), NOTHING)
    book.advance(NOTHING, NOTHING)
    movement = book.advance(NOTHING, NOTHING)
    assert counted(movement) == {"LOST": 1}
    assert total(movement, "bytes_sent") == 0
    assert counted(book.advance(NOTHING, NOTHING)) == {}


def test_a_flow_that_one_dump_missed_goes_on_from_its_baseline() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1000)), NOTHING)
    book.advance(NOTHING, NOTHING)
    movement = book.advance(flows(sent(1, 1010)), NOTHING)
    assert total(movement, "bytes_sent") == 10
    assert counted(movement) == {}


@pytest.mark.parametrize(("field", "bits"), [("segs_out", 32), ("total_rto", 16)])
def test_a_narrow_counter_wraps(field: str, bits: int) -> None:
    book = ledger()
    book.advance(flows(sent(1, 1, **{field: (1 << bits) - 3})), NOTHING)
    assert total(book.advance(flows(sent(1, 2, **{field: 4})), NOTHING), field) == 7


def test_a_flow_whose_counters_fell_was_connected_again_and_counts_from_0() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1000, segs_out=50)), NOTHING)
    movement = book.advance(flows(sent(1, 10, segs_out=2)), NOTHING)
    assert total(movement, "bytes_sent") == 10
    assert total(movement, "segs_out") == 2
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1, "WIPED": 1}


def test_a_flow_with_another_peer_was_connected_again_even_if_no_counter_fell() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1000)), NOTHING)
    again = sent(1, 1500)
    again.remote_port = 80
    assert total(book.advance(flows(again), NOTHING), "bytes_sent") == 1500


def test_segments_that_fell_without_payload_are_no_wrap() -> None:
    """A connection attempt given up and tried again: only the SYNs were counted."""
    book = ledger()
    book.advance(flows(Flow(1, {"segs_out": 5})), NOTHING)
    assert total(book.advance(flows(Flow(1, {"segs_out": 1})), NOTHING), "segs_out") == 1


def test_an_aborted_flow_keeps_what_the_last_dump_knew_and_is_counted_on_its_own() -> None:
    book = ledger()
    book.advance(NOTHING, NOTHING)
    book.advance(flows(sent(1, 1000, segs_out=9)), NOTHING)
    movement = book.advance(NOTHING, flows(Flow(1, {"min_rtt": 100}, remote_port=0)))
    assert total(movement, "bytes_sent") == total(movement, "segs_out") == 0
    assert counted(movement) == {"CLOSED": 1, "WIPED": 1}
    assert movement.closed_bytes.tolist() == [1000]


def test_an_aborted_flow_that_no_dump_saw_has_no_size() -> None:
    book = ledger()
    book.advance(NOTHING, NOTHING)
    movement = book.advance(NOTHING, flows(Flow(1, {"min_rtt": 100}, remote_port=0)))
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1, "WIPED": 1}
    assert movement.closed_bytes.tolist() == []


@pytest.mark.parametrize("remote_port", [0, 443], ids=["blocking", "not blocking"])
def test_a_connection_that_was_never_established_is_a_connect_failure(remote_port: int) -> None:
    book = ledger()
    book.advance(NOTHING, NOTHING)
    movement = book.advance(NOTHING, flows(Flow(1, {"segs_out": int(remote_port > 0)}, remote_port=remote_port)))
    assert counted(movement) == {"OPENED": 1, "CLOSED": 1, "CONNECT_FAILURES": 1}
    assert movement.closed_bytes.tolist() == []


def test_a_connect_failure_that_a_dump_saw_keeps_the_name_it_had_there() -> None:
    book = ledger()
    book.advance(NOTHING, NOTHING)
    book.advance(flows(Flow(1, {"segs_out": 2}, key=7)), NOTHING)
    movement = book.advance(NOTHING, flows(Flow(1, {}, key=99, remote_port=0)))
    assert counted(movement) == {"CLOSED": 1, "CONNECT_FAILURES": 1}
    assert movement.keys.tolist() == [[7]]


def test_an_event_bears_the_name_and_the_filters_verdict_of_the_last_dump() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1)), NOTHING)
    dropped = sent(2, 5)
    dropped.key, dropped.kept = 3, False
    book.advance(flows(sent(1, 1), dropped), NOTHING)
    event = sent(2, 9)
    event.key = 99
    movement = book.advance(flows(sent(1, 1)), flows(event))
    assert movement.keys.tolist() == [[1], [3]]
    assert movement.kept.tolist() == [True, False]


def test_each_once_keeps_the_first_row_of_a_cookie() -> None:
    once = each_once(sockets([sent(2, 20), sent(1, 10), sent(2, 21)]))
    assert once.cookie.tolist() == [2, 1]
    assert once.info["bytes_sent"].tolist() == [20, 10]


def test_rows_stand_in_the_order_in_which_they_were_given() -> None:
    book = ledger()
    book.advance(flows(sent(1, 1), sent(2, 2), sent(3, 3)), NOTHING)
    movement = book.advance(flows(sent(3, 33), sent(4, 4), sent(1, 11)), flows(sent(2, 22)))
    assert movement.increments[movement.fields.index("bytes_sent")].tolist() == [30, 4, 10, 20]
    assert np.array_equal(movement.kept, [True] * 4)
