"""How often the same thing may be said in the log."""

import time
from collections.abc import Callable
from typing import Final

BURST: Final = 2
"""Lines at once: that something goes wrong, and that it is well again."""
EVERY: Final = 3600.0
"""Seconds until one more."""


class RateLimit:
    """Whether one more line is due: `BURST` at once, then one in `EVERY` seconds. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._saved = BURST * EVERY  # seconds
        self._asked_at = clock()

    def __call__(self) -> bool:
        """Ask only when there is something to say: each True is a line."""
        now = self._clock()
        self._saved = min(self._saved + now - self._asked_at, BURST * EVERY)
        self._asked_at = now
        if self._saved < EVERY:
            return False
        self._saved -= EVERY
        return True
