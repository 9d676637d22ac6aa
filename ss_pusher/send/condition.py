"""What is said of an endpoint in the log: its changes, and a reminder now and then of what has not changed."""

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

logger = logging.getLogger(__name__)

REMIND_AFTER: Final = 3600.0
"""Seconds."""
CALM_AFTER: Final = 600.0
"""Seconds without trouble until we say that all is well of an endpoint that refuses one bad series in every tick, or
that was well a moment ago: of a load balancer's servers one may be broken.
"""


class Condition(Enum):
    """How the last push went; the values are what the log says."""

    UNKNOWN = "is not known yet"
    ACCEPTING = "accepts what is sent"
    RETRYING = "takes nothing for now; all is kept and tried again"
    HELD = "refuses what somebody has to mend; all is kept and tried again slowly"
    REJECTING = "refuses what is sent, and it is dropped"


class ConditionLog:
    """One line when an endpoint's condition changes, then at most one an hour. `clock` is in seconds.

    Whatever trouble comes and goes and comes again before all is well, each kind of it is a change once.
    """

    def __init__(self, endpoint: str, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._condition = Condition.UNKNOWN
        self._said_at = 0.0
        self._troubles: set[Condition] = set()  # said since all was well
        self._troubled_at = 0.0
        self._recovered_at = -CALM_AFTER
        self._unsteady = False

    def tell(self, condition: Condition, words: str = "") -> None:
        """The condition after a push, with the server's own words."""
        now = self._clock()
        if condition is not Condition.ACCEPTING:
            self._troubled_at = now
        elif self._is_too_soon(now):
            return
        if condition is Condition.ACCEPTING:
            self._accepts(now)
        elif condition not in self._troubles or now - self._said_at >= REMIND_AFTER:
            still = "still " if condition in self._troubles else ""
            logger.warning("%s %s%s%s", self._endpoint, still, condition.value, f": {words}" if words else "")
            self._troubles.add(condition)
            self._said_at = now
        self._condition = condition

    def _accepts(self, now: float) -> None:
        if self._condition is Condition.ACCEPTING:
            return
        logger.info("%s %s", self._endpoint, Condition.ACCEPTING.value)
        if self._condition is not Condition.UNKNOWN:
            self._recovered_at, self._unsteady = now, False
        self._troubles.clear()

    def _is_too_soon(self, now: float) -> bool:
        """Whether to wait and see before we say that all is well again."""
        if self._condition in (Condition.UNKNOWN, Condition.ACCEPTING):
            return False
        self._unsteady |= self._condition is Condition.REJECTING or now - self._recovered_at < CALM_AFTER
        return self._unsteady and now - self._troubled_at < CALM_AFTER
