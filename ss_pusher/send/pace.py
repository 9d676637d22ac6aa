"""The rate at which a backlog may go out, so that a fleet that catches up does not knock the server over again."""

from collections.abc import Callable
from typing import Final

SLOWEST: Final = 0.1
"""Requests a second right after an outage: while 10,000 agents with an interval of 15 s catch up, a server gets 1.5
times as many requests as ever."""
SLOW_FOR: Final = 300.0
"""Seconds at that rate, in which the backlog of a short outage is gone. From then on the rate doubles every minute."""
_MINUTE: Final = 60.0
_MOST_DOUBLINGS: Final = 30.0  # enough for every rate, and no overflow


class Pace:
    """A token bucket: `burst` requests at once, then `rate` a second. `clock` is in seconds."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()
        self._slow_since = float("-inf")

    def begin_slowly(self) -> None:
        """The server is back, for us and for everybody else: from the slowest rate on, and without a burst."""
        self._slow_since = self._filled_at = self._clock()
        self._tokens = 0.0

    def next(self) -> float:
        """Seconds to wait until the request after this one may go."""
        now = self._clock()
        rate, burst = self._allowed(now)
        self._tokens = min(self._tokens + (now - self._filled_at) * rate, burst) - 1
        self._filled_at = now
        return max(-self._tokens / rate, 0.0)

    def _allowed(self, now: float) -> tuple[float, int]:
        doublings = (now - self._slow_since - SLOW_FOR) / _MINUTE
        slow = SLOWEST * 2.0 ** min(max(doublings, 0.0), _MOST_DOUBLINGS)
        return (slow, 1) if slow < self._rate else (self._rate, self._burst)
