"""Which sockets talk to this host itself."""

from typing import Final

import numpy as np

from ss_pusher.model import U64, Bools, Sockets

_MAPPED_127: Final = 0xFFFF_7F00_0000  # ::ffff:127.0.0.0, as the low word
_ONE: Final = 1  # ::1, as the low word


def stays_on_host(sockets: Sockets) -> Bools:
    """Bool[n]: either address is of loopback (127.0.0.0/8 or ::1), or both are the same address of this host."""
    # Word by word: numpy reduces over so short an axis slowly.
    itself: Bools = (sockets.local[:, 0] == sockets.remote[:, 0]) & (sockets.local[:, 1] == sockets.remote[:, 1])
    return itself | _is_loopback(sockets.local) | _is_loopback(sockets.remote)


def _is_loopback(addresses: U64) -> Bools:
    low = addresses[:, 1]
    loopback: Bools = (addresses[:, 0] == 0) & ((low & np.uint64(0xFFFF_FFFF_FF00_0000) == _MAPPED_127) | (low == _ONE))
    return loopback
