"""Whether the wall clock can be believed: a host without a battery starts with any time, until somebody tells it."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

SETTLED: Final = 120.0
"""Seconds after its start from which a host's clock is believed, whatever: many hosts have nobody who sets it."""

_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised; Linux include/uapi/linux/timex.h
_ROOM_FOR_TIMEX: Final = 512  # struct timex, of the same header, has 208 bytes
_TIMESYNCD: Final = Path("/run/systemd/timesync")  # systemd-timesyncd.service(8)


def believed(
    uptime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    kernel: Callable[[], bool | None] | None = None,
    timesyncd: Path = _TIMESYNCD,
) -> bool:
    """Whether the clock was set since the host started, or would have been by now, or nobody tells.

    The kernel tells everyone, but not a service with `ProtectClock=`; there systemd-timesyncd does, if it runs.
    """
    if uptime() >= SETTLED:
        return True
    told = (kernel or synchronised)()
    if told is None:
        return not timesyncd.is_dir() or (timesyncd / "synchronized").exists()
    return told


def synchronised() -> bool | None:
    """Whether the kernel knows that somebody sets its clock, see adjtimex(2); None if it does not tell us."""
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_ROOM_FOR_TIMEX))
    return None if state < 0 else state != _TIME_ERROR
