"""What the log says of an endpoint, and how often."""

import logging
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.send import condition
from ss_pusher.send.condition import CALM_AFTER, REMIND_AFTER, Condition, ConditionLog


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CountedRecords(logging.Handler):
    """How many records come while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.records = 0

    def emit(self, _: logging.LogRecord) -> None:
        self.records += 1

    def __enter__(self) -> Self:
        condition.logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        condition.logger.removeHandler(self)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> ConditionLog:
    caplog.set_level(logging.INFO)
    return ConditionLog("mimir", clock)


def test_a_change_is_said_once_with_the_words_of_the_server(
    log: ConditionLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.tell(Condition.ACCEPTING)
    for _ in range(10):
        log.tell(Condition.RETRYING, "503 Service Unavailable: draining")
    for _ in range(10):
        log.tell(Condition.ACCEPTING)

    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "mimir accepts what is sent"),
        (
            "WARNING",
            "mimir takes nothing for now; all is kept and tried again: 503 Service Unavailable: draining",
        ),
        ("INFO", "mimir accepts what is sent"),
    ]


def test_what_stays_bad_is_said_once_an_hour(log: ConditionLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for second in range(3 * 3600):
        clock.now = 1000.0 + second
        log.tell(Condition.HELD, "401 Unauthorized")

    assert len(caplog.records) == 3
    assert caplog.messages[2] == (
        "mimir still refuses what somebody has to mend; all is kept and tried again slowly: 401 Unauthorized"
    )


def test_what_stays_good_is_not_said_again(log: ConditionLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log.tell(Condition.ACCEPTING)
    clock.now += 2 * REMIND_AFTER
    log.tell(Condition.ACCEPTING)

    assert len(caplog.records) == 1


def test_an_endpoint_that_comes_and_goes_does_not_fill_the_log(
    log: ConditionLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(4 * 60 * 3):
        clock.now += 7.5
        log.tell(Condition.ACCEPTING)
        clock.now += 7.5
        log.tell(Condition.RETRYING, "500 Internal Server Error")
    assert len(caplog.records) == 4 + 2  # well, away, well, away, and what it says once an hour

    clock.now += CALM_AFTER
    log.tell(Condition.ACCEPTING)
    assert caplog.messages[-1] == "mimir accepts what is sent"


def test_the_second_outage_is_said_again(log: ConditionLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        log.tell(Condition.RETRYING, "503")
        clock.now += 2 * CALM_AFTER
        log.tell(Condition.ACCEPTING)
        clock.now += 2 * CALM_AFTER
    assert len(caplog.records) == 4


def test_a_bad_sample_in_every_tick_does_not_fill_the_log(
    log: ConditionLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        clock.now += 15
        log.tell(Condition.REJECTING, "400 Bad Request: out of order")
        log.tell(Condition.ACCEPTING)
    assert len(caplog.records) == 1

    clock.now += CALM_AFTER
    log.tell(Condition.ACCEPTING)
    assert caplog.messages[1] == "mimir accepts what is sent"


def test_whatever_a_server_flaps_between_it_does_not_fill_the_log(
    log: ConditionLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3 * 3600 // 15 // 3):
        for trouble in (Condition.RETRYING, Condition.REJECTING, Condition.HELD):
            clock.now += 15
            log.tell(trouble, "words")
    assert caplog.messages == [
        f"mimir {still}{trouble.value}: words"
        for still, trouble in (
            ("", Condition.RETRYING),
            ("", Condition.REJECTING),
            ("", Condition.HELD),
            ("still ", Condition.HELD),
            ("still ", Condition.HELD),
        )
    ]

    clock.now += CALM_AFTER
    log.tell(Condition.ACCEPTING)
    clock.now += CALM_AFTER
    log.tell(Condition.HELD)
    assert [r.levelname for r in caplog.records[5:]] == ["INFO", "WARNING"]


@given(st.lists(st.sampled_from([each for each in Condition if each is not Condition.UNKNOWN]), max_size=300))
def test_no_sequence_of_conditions_fills_the_log(conditions: list[Condition]) -> None:
    clock = Clock()
    log = ConditionLog("mimir", clock)
    with CountedRecords() as counted:
        for each in conditions:
            clock.now += CALM_AFTER / len(conditions)
            log.tell(each)
    assert counted.records <= 1 + 2 * 3 + 1  # well, every trouble, well, every trouble again
