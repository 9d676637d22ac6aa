"""What is said of an endpoint in the log: its changes, and a reminder now and then of what has not changed."""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

_log: Final = logging.getLogger(__name__)

REMIND_AFTER: Final = 3600.0
"""Seconds."""
CALM_AFTER: Final = 600.0
"""Seconds without a rejection until we say that all is well: one bad series is refused in every tick."""


class Condition(Enum):
    """How the last push went; the values are what the log says."""

    UNKNOWN = "is not known yet"
    ACCEPTING = "accepts what is sent"
    RETRYING = "is not there for now; all is kept and tried again"
    HELD = "refuses what somebody has to mend; all is kept and tried again slowly"
    REJECTING = "refuses what is sent, and it is dropped"


class ConditionLog:
    """One line when an endpoint's condition changes, then at most one an hour. `clock` is in seconds."""

    def __init__(self, endpoint: str, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._condition = Condition.UNKNOWN
        self._said_at = 0.0
        self._rejected_at = 0.0

    def tell(self, condition: Condition, words: str = "") -> None:
        """The condition after a push, with the server's own words."""
        now = self._clock()
        if condition is Condition.REJECTING:
            self._rejected_at = now
        calm = now - self._rejected_at >= CALM_AFTER
        if condition is Condition.ACCEPTING and self._condition is Condition.REJECTING and not calm:
            return
        changed = condition is not self._condition
        if changed or (condition is not Condition.ACCEPTING and now - self._said_at >= REMIND_AFTER):
            level = logging.INFO if condition is Condition.ACCEPTING else logging.WARNING
            still = "" if changed else "still "
            _log.log(level, "%s %s%s%s", self._endpoint, still, condition.value, f": {words}" if words else "")
            self._condition = condition
            self._said_at = now
