"""How often to look: at once and often at first, for the job may last a second; then ever more rarely."""

from collections.abc import Callable
from typing import Final

FIRST: Final = 0.05
GROWTH: Final = 1.2
LONGEST: Final = 1.0
SHARE: Final = 0.01
"""Of a core, while the job runs."""
BURST: Final = 0.1
"""Seconds of CPU time that the first looks may take beyond that."""


class Pace:
    """Gives the pause after each look. `used` is the CPU time of the looking thread, `clock` monotonic; in seconds."""

    def __init__(self, used: Callable[[], float], clock: Callable[[], float]) -> None:
        self._used: Final = used
        self._clock: Final = clock
        self._began: Final = clock()
        self._used_before: Final = used()
        self._pause = FIRST

    def next(self) -> float:
        """Seconds to wait until the next look."""
        used = self._used() - self._used_before
        rest = (used - BURST) / SHARE - (self._clock() - self._began)
        pause, self._pause = self._pause, min(self._pause * GROWTH, LONGEST)
        return max(pause, rest)
