"""Whose clock is wrong: an answer says when it was made (RFC 9110, section 6.6.1)."""

import logging
import math
from collections.abc import Callable
from typing import Final

from ss_pusher.ratelimit import RateLimit
from ss_pusher.send.exchange import Answer, http_date
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

NEWS: Final = 30.0
"""Seconds between two clocks that are worth a warning: a dashboard of the last minutes would not show us. From there on
nothing is sent from the receiver's future."""


class ClockComparison:
    """Compares an endpoint's clock with ours whenever it answers. `now` is Unix time in seconds."""

    def __init__(
        self, endpoint: str, telemetry: Telemetry, now: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._endpoint: Final = endpoint
        self._telemetry: Final = telemetry
        self._now: Final = now
        self._monotonic: Final = monotonic
        self._ahead_of_monotonic = math.inf
        self._apart = False  # as the log has it
        self._line_is_due: Final = RateLimit(monotonic)

    def latest(self) -> float:
        """The latest time, in Unix seconds, that is not in the endpoint's future; infinite before its first answer."""
        return self._monotonic() + self._ahead_of_monotonic + NEWS

    def __call__(self, answer: Answer) -> None:
        """An answer has just come."""
        made = http_date(answer.headers.get("date", ""))
        if made is None:
            return
        ahead = self._now() - made
        self._ahead_of_monotonic = made - self._monotonic()
        self._telemetry.set("ss_pusher_clock_ahead_seconds", round(ahead, 3), endpoint=self._endpoint)
        apart = abs(ahead) >= NEWS
        if apart is self._apart or not self._line_is_due():
            return
        if apart:
            where, then = ("ahead of", ": samples wait for it") if ahead > 0 else ("behind", "")
            words = "our clock is %.0f s %s that of %s%s; one of them is wrong"
            logger.warning(words, abs(ahead), where, self._endpoint, then)
        else:
            logger.info("our clock and that of %s agree again", self._endpoint)
        self._apart = apart
