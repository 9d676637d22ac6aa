"""The names of network interfaces by index."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

REFRESH_SECONDS: Final = 60.0
"""After this long a name is read again: interfaces are renamed."""
RETRY_SECONDS: Final = 5.0
"""After this long an index that was not found is looked for again."""


class Interfaces:
    """The interfaces of one network namespace. `read` gives all (index, name) that it has now."""

    def __init__(self, read: Callable[[], Iterable[tuple[int, str]]], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._read_at = float("-inf")
        self._names: dict[int, str] = {}

    def look_up(self, indices: Iterable[int]) -> list[str]:
        """The name of each index; empty for 0 (the routing decides) and for one that is not there."""
        wanted = list(indices)
        names = self._refreshed(RETRY_SECONDS if any(i and i not in self._names for i in wanted) else REFRESH_SECONDS)
        return [names.get(index, "") for index in wanted]

    def all(self) -> Mapping[int, str]:
        """Every name by index."""
        return MappingProxyType(self._refreshed(REFRESH_SECONDS))

    def _refreshed(self, after_seconds: float) -> dict[int, str]:
        now = self._clock()
        if now - self._read_at >= after_seconds:
            self._read_at = now
            try:
                self._names = dict(self._read())
            except OSError:  # the namespace went away
                self._names = {}
        return self._names
