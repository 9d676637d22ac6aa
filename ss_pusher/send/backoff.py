"""How long to wait after a failure."""

from collections.abc import Callable
from typing import Final

SHORTEST: Final = 0.001
"""Seconds."""


class Backoff:
    """Full jitter: each delay is random between nothing and a bound that doubles with every failure.

    So a fleet whose server comes back does not arrive in lockstep. `uniform` gives a number in [0, 1).
    """

    def __init__(self, shortest: float, longest: float, uniform: Callable[[], float]) -> None:
        self._shortest = shortest
        self._longest = longest
        self._uniform = uniform
        self._bound = shortest

    def next(self) -> float:
        """Seconds to wait after one more failure; at least a millisecond."""
        delay = max(self._uniform() * self._bound, SHORTEST)
        self._bound = min(self._bound * 2, self._longest)
        return delay

    def reset(self) -> None:
        """After a success."""
        self._bound = self._shortest
