"""What the log says of an endpoint, and how often."""

import logging

import pytest

from ss_pusher.send.condition import CALM_AFTER, REMIND_AFTER, Condition, ConditionLog


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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
