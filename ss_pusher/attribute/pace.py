"""Keeps a costly look-up to a small share of the time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

REST: Final = 9
"""How many times longer than it took a look-up rests: it takes at most a tenth of the time."""


class Pace:
    """Says when the next look-up may begin. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = float("-inf")

    def due(self) -> bool:
        """Whether the last look-up has rested long enough."""
        return self._clock() >= self._next

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around one look-up."""
        begin = self._clock()
        yield
        end = self._clock()
        self._next = end + REST * (end - begin)
