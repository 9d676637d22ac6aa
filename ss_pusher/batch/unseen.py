"""Connections that closed before anybody could see whose they were."""

from typing import Final

import numpy as np

from ss_pusher.model import U64, Sockets

_MOST: Final = 1 << 16


class Unseen:
    """Counts the connections that closed and that no look had shown together with who holds them.

    Remembers the cookies of those that are open or whose end was not announced yet, 65,536 at most.
    """

    def __init__(self) -> None:
        self.count = 0
        self._seen: U64 = np.empty(0, np.uint64)

    def saw(self, cookies: U64) -> None:
        """A look showed these, and whose they are."""
        new = ~np.isin(cookies, self._seen, assume_unique=True)
        if new.any():
            self._seen = np.concatenate([self._seen, cookies[new]])[-_MOST:]

    def closed(self, sockets: Sockets) -> None:
        """The ends of these were announced."""
        peer = (sockets.remote[:, 0] != 0) | (sockets.remote[:, 1] & _ADDRESS != 0)
        self.count += int(np.count_nonzero(peer & ~np.isin(sockets.cookie, self._seen)))
        if len(sockets):
            self._seen = self._seen[~np.isin(self._seen, sockets.cookie)]


_ADDRESS: Final = np.uint64(0xFFFF_0000_FFFF_FFFF)
"""Of the low word of an address: without the mark of a mapped IPv4 address."""
