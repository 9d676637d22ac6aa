"""How far a spool has been acknowledged: two slots in one small file, written in turn and in place.

A slot that was cut short by a crash leaves the other. Nothing is ever allocated after the file is made, so a full disk
does not keep a position from being written.
"""

import os
import struct
import zlib
from contextlib import suppress
from typing import Final, NamedTuple

_FIELDS: Final = struct.Struct("<QQQ")  # turn, segment, offset
_SLOT: Final = struct.Struct(f"<{_FIELDS.size}sI")


class Position(NamedTuple):
    """All before `offset` in segment `segment`, and all in earlier segments, has been acknowledged."""

    segment: int
    offset: int


class PositionFile:
    """The file of a spool's position, open until it is closed."""

    def __init__(self, file: int) -> None:
        self._file = file
        slots = [slot for index in (0, 1) if (slot := self._read(index))]
        self._turn, segment, offset = max(slots, default=(0, 0, 0))
        self.position = Position(segment, offset)
        if os.fstat(file).st_size < 2 * _SLOT.size:
            with suppress(OSError):  # on a full disk it comes into being later, or never
                os.pwrite(file, bytes(2 * _SLOT.size), 0)
                self.write(self.position)

    def write(self, position: Position) -> None:
        """Note it. Raises OSError."""
        turn = self._turn + 1
        fields = _FIELDS.pack(turn, *position)
        os.pwrite(self._file, _SLOT.pack(fields, zlib.crc32(fields)), turn % 2 * _SLOT.size)
        self._turn, self.position = turn, position

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self, index: int) -> tuple[int, int, int] | None:
        data = os.pread(self._file, _SLOT.size, index * _SLOT.size)
        if len(data) < _SLOT.size:
            return None
        fields, checksum = _SLOT.unpack(data)
        if zlib.crc32(fields) != checksum:
            return None
        turn, segment, offset = _FIELDS.unpack(fields)
        return turn, segment, offset
