"""Who begins when others leave, and who has to wait for it."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ss_pusher.app.handover import Handover
from ss_pusher.app.sinks import Wanted, wanted_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.errors import AddressInUseError
from ss_pusher.model import Snapshot
from ss_pusher.telemetry import Telemetry
from tests.waiting import wait_for


@dataclass
class Slow:
    """An endpoint that ends when it may."""

    name: str
    refused: bool = False
    bears_time = True
    started: bool = False
    may_end: threading.Event = field(default_factory=threading.Event)
    finished: list[int] = field(default_factory=list)

    def start(self) -> None:
        if self.refused:
            raise AddressInUseError("taken")
        self.started = True

    def push(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    def flush(self, deadline: float) -> bool:
        raise NotImplementedError

    def finish(self, time_ms: int, deadline: float) -> bool:
        self.finished.append(time_ms)
        return self.may_end.wait(max(0.0, deadline - Clock().monotonic()))

    def wanted(self, *holds: str) -> Wanted:
        return Wanted(self.name, frozenset(holds), lambda: self)


@pytest.fixture
def old() -> Iterator[Slow]:
    slow = Slow("old")
    yield slow
    slow.may_end.set()


@pytest.fixture
def telemetry() -> Telemetry:
    telemetry = Telemetry()
    telemetry.set("ss_pusher_samples_pending", 7, endpoint="old")
    return telemetry


def far() -> float:
    return Clock().monotonic() + 3600


def names(handover: Handover) -> list[str]:
    return [endpoint.name for endpoint in handover.endpoints()]


def wait_until_over(handover: Handover) -> None:
    def is_over() -> bool:
        handover.go_on()
        return handover.is_over()

    wait_for(is_over, "the end of those that leave")


def test_who_needs_nothing_of_one_that_leaves_begins_at_once_and_others_when_it_has_ended(
    old: Slow, telemetry: Telemetry
) -> None:
    ended = threading.Event()
    handover = Handover([old.wanted("a", "b")], Clock(), telemetry)
    handover.ended = ended.set
    free, heir, late = Slow("free"), Slow("heir"), Slow("late")
    assert handover.change([heir.wanted("a", "c"), free.wanted("c"), late.wanted("b")], 11, far())
    handover.go_on()
    assert names(handover) == ["free"]
    assert (free.started, heir.started, late.started) == (True, False, False)
    assert not handover.is_over()
    assert telemetry.value("ss_pusher_samples_pending", endpoint="old") == 7

    old.may_end.set()
    assert ended.wait(30)
    handover.go_on()
    assert names(handover) == ["heir", "free", "late"]  # in the order of the configuration
    assert heir.started
    assert old.finished == [11]
    assert handover.is_over()
    assert telemetry.value("ss_pusher_samples_pending", endpoint="old") == 0


def test_who_still_waits_is_given_up_when_another_configuration_does_not_want_it(
    old: Slow, telemetry: Telemetry
) -> None:
    handover = Handover([old.wanted("a")], Clock(), telemetry)
    given_up, heir = Slow("given up"), Slow("heir")
    assert handover.change([given_up.wanted("a")], 11, far())
    assert not handover.change([heir.wanted("a")], 12, far())  # one leaves already
    old.may_end.set()
    wait_until_over(handover)
    assert names(handover) == ["heir"]
    assert not given_up.started


def test_when_one_cannot_begin_nothing_has_changed(old: Slow, telemetry: Telemetry) -> None:
    handover = Handover([old.wanted("a")], Clock(), telemetry)
    begun, refused = Slow("begun"), Slow("refused", refused=True)
    begun.may_end.set()
    with pytest.raises(AddressInUseError):
        handover.change([begun.wanted("b"), refused.wanted("c")], 11, far())
    assert names(handover) == ["old"]
    assert old.finished == []
    assert begun.finished == [0]


def test_one_that_could_not_begin_after_its_wait_keeps_no_other_from_it(
    old: Slow, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    handover = Handover([old.wanted("a")], Clock(), telemetry)
    handover.change([Slow("refused", refused=True).wanted("a"), Slow("heir").wanted("a")], 11, far())
    old.may_end.set()
    wait_until_over(handover)
    assert names(handover) == ["heir"]
    assert "not every endpoint could begin: taken" in caplog.messages


def test_it_is_waited_for_those_that_leave_but_not_beyond_the_deadline(old: Slow, telemetry: Telemetry) -> None:
    now = Clock().monotonic
    handover = Handover([old.wanted()], Clock(), telemetry)
    handover.change([], 11, far())
    handover.wait(now())
    assert not handover.is_over()
    old.may_end.set()
    handover.wait(far())
    handover.go_on()
    assert handover.is_over()


def test_two_that_push_to_the_same_url_come_one_after_the_other_whatever_else_has_changed() -> None:
    def holds(text: str) -> frozenset[object]:
        config = parse(text.encode(), "config.yml", directory=Path()).config
        (wanted,) = wanted_endpoints(config, Clock(), Telemetry(), stale_on_exit=True)
        return wanted.holds

    one = holds("remote_write: [{url: 'http://a:b@127.0.0.1:1/push', name: one}]")
    two = holds("remote_write: [{url: 'http://a:c@127.0.0.1:1/push', name: two}]")
    other = holds("remote_write: [{url: 'http://a:b@127.0.0.1:1/elsewhere', name: one}]")
    assert one == two
    assert one.isdisjoint(other)
    gateway = "pushgateway: [{url: 'http://127.0.0.1:1', on_exit: %s}]"
    assert holds(gateway % "delete") == holds(gateway % "keep")
