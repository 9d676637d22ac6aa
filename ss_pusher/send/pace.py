"""The rate at which a backlog may go out, so that a fleet that catches up does not knock the server over again."""

from collections.abc import Callable


class Pace:
    """A token bucket: `burst` requests at once, then `rate` a second. `clock` is in seconds."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()

    def next(self) -> float:
        """Seconds to wait until the request after this one may go."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._burst) - 1
        self._filled_at = now
        return max(-self._tokens / self._rate, 0.0)
