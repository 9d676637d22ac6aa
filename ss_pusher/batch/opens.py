"""Whether anybody opened a connection: two counters of the kernel's, for a hundredth of what a dump costs."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_SNMP: Final = Path("/proc/thread-self/net/snmp")
_LONGEST: Final = 1 << 14
_ACTIVE_OPENS: Final = 4  # tcpActiveOpens and tcpPassiveOpens follow each other: RFC 4022, and Linux net/ipv4/proc.c
_AFTER_BOTH: Final = 6


class Opens:
    """Those of the network namespace that the calling thread is in. Where they cannot be read, the answer is yes."""

    def __init__(self, path: Path = _SNMP) -> None:
        self._file = -1
        self._last: list[bytes] = []
        with suppress(OSError):
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def changed(self) -> bool:
        """Whether a connection was opened, by or to this host, since the last call."""
        try:
            now = _counters(os.pread(self._file, _LONGEST, 0))
        except (OSError, IndexError):
            return True
        before, self._last = self._last, now
        return now != before

    def close(self) -> None:
        """Read no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _counters(snmp: bytes) -> list[bytes]:
    """As the kernel wrote them: the first line of a protocol has the names, the second the values."""
    values = snmp.split(b"\nTcp: ", 2)[2]
    return values.split(maxsplit=_AFTER_BOTH)[_ACTIVE_OPENS:_AFTER_BOTH]
