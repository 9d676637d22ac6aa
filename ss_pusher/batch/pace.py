"""How often to wake, and what for: often at first, for the job may last a second; then more rarely, within a budget."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FIRST: Final = 0.005
LAST: Final = 0.04
SLOWER: Final = 1.02
"""Seconds between two questions whether a connection was opened, at first and later, and how they grow.

To ask takes 50 µs when it is often, and twice as much when it is rare (measured).
"""
FIRST_LOOK: Final = 1.0
LAST_LOOK: Final = 3.0
"""From one look to the next when no connection was opened: what was seen goes on."""
TICKS: Final = 10.0
"""Between two ticks, which tell what was seen, and take five times as long as a look."""
_RARER: Final = 1.2
SHARE: Final = 0.0075
"""Of a core, while the job runs; with what is not counted here it is about a hundredth (measured)."""
BURST: Final = 0.015
"""Seconds of CPU time that the first looks may take beyond that."""
SAVED: Final = 0.1
"""The most that is saved for later where less was taken than might be."""


class _Rarely:
    """Is due again and again, and ever more rarely."""

    def __init__(self, pause: float, longest: float, now: float) -> None:
        self._pause = pause
        self._longest: Final = longest
        self._at = now + pause

    def is_due(self, now: float) -> bool:
        if now < self._at:
            return False
        self._pause = min(self._pause * _RARER, self._longest)
        self.put_off(now)
        return True

    def put_off(self, now: float) -> None:
        self._at = now + self._pause


class Pace:
    """Gives the pause after each look. `used` is the CPU time that looking took, `clock` monotonic; in seconds."""

    def __init__(self, used: Callable[[], float], clock: Callable[[], float]) -> None:
        self._used: Final = used
        self._clock: Final = clock
        self._used_before = used()
        self._asked_at = clock()
        self._credit = BURST
        self._price = 0.0
        self._pause = FIRST
        self._looks: Final = _Rarely(FIRST_LOOK, LAST_LOOK, self._asked_at)
        self._ticks: Final = _Rarely(TICKS, TICKS, self._asked_at)

    def next(self) -> float:
        """Seconds until the next wake: not before another look is paid for, since the job may end right after it."""
        used, now = self._used(), self._clock()
        self._credit += SHARE * (now - self._asked_at) - (used - self._used_before)
        self._credit = min(self._credit, SAVED)
        self._used_before, self._asked_at = used, now
        pause, self._pause = self._pause, min(self._pause * SLOWER, LAST)
        return max(pause, (self._price - self._credit) / SHARE)

    def is_time_to_look(self) -> bool:
        """Whether this wake is for a look even if no connection was opened."""
        return self._looks.is_due(self._clock())

    def looked(self) -> None:
        """There was a look since the last pause, so that none is needed for a while."""
        self._price = min(self._used() - self._used_before, SAVED)
        self._looks.put_off(self._clock())

    def is_time_to_tick(self) -> bool:
        """Whether it is for a tick."""
        return self._ticks.is_due(self._clock())

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What the block takes is not taken from the budget of looking."""
        before = self._used()
        try:
            yield
        finally:
            self._used_before += self._used() - before
