"""Requests on disk, in order: records in segment files, and how far they have been acknowledged.

Nothing is synced while the agent runs: the tick must not wait for a disk. What was written survives the end of the
process, whatever ended it, since the kernel has it; a loss of power takes what the kernel had not yet written, which
by its default is up to 30 seconds. `close` syncs.
"""

import os
import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from ss_pusher.model import Pending, Request
from ss_pusher.queue.directory import open_file
from ss_pusher.queue.position import Position, PositionFile
from ss_pusher.queue.record import Header, headers, next_header, pack, read_body

_NAME: Final = re.compile(r"([0-9a-f]{16})\.segment")
_POSITION: Final = "position"


class Item(NamedTuple):
    """What stands next in the log: a request, or None for damage. `header` is None where not even that is whole."""

    request: Request | None
    header: Header | None
    segment: int
    end: Position


@dataclass(slots=True)
class _Segment:
    """A file, and what in it has not been read."""

    number: int
    size: int = 0
    requests: int = 0
    samples: int = 0
    bytes: int = 0
    newest_ms: int = 0

    def add(self, samples: int, size: int, newest_ms: int) -> None:
        self.requests += 1
        self.samples += samples
        self.bytes += size
        self.newest_ms = max(self.newest_ms, newest_ms)

    def remove(self, samples: int, size: int) -> None:
        self.requests -= 1
        self.samples -= samples
        self.bytes -= size


class SegmentLog:
    """For one thread at a time. `directory` is an open descriptor. Raises OSError."""

    def __init__(self, directory: int, segment_size: int) -> None:
        self._directory = directory
        self._segment_size = segment_size
        self._position = PositionFile(open_file(directory, _POSITION, os.O_RDWR | os.O_CREAT))
        self._writer: int | None = None
        self._reader: tuple[int, int] | None = None  # segment, descriptor
        self._segments: deque[_Segment] = deque()
        self._last_number = self._position.position.segment
        self._find_segments()
        self.read = self._normal(self._position.position)

    def append(self, request: Request) -> None:
        """Write one more record. Raises OSError, and the log is then as it was."""
        record = pack(request)
        writer = self._open_writer(len(record))
        segment = self._segments[-1]
        written = 0
        try:
            while written < len(record):  # a disk that fills up takes a part, and fails only then
                written += os.pwrite(writer, record[written:], segment.size + written)
        except OSError:
            self._undo_write(writer, segment.size)
            raise
        segment.size += len(record)
        segment.add(request.samples, len(request.body), request.newest_ms)

    def peek(self, at: Position) -> Item | None:
        """The next item at or after a position that this log has given; None at the end."""
        for segment in self._segments:
            if segment.number < at.segment:
                continue
            offset = at.offset if segment.number == at.segment else 0
            if offset < segment.size:
                return self._item(segment, offset)
        return None

    def advance(self, items: list[Item]) -> None:
        """These, the next ones from `read` on, have been read."""
        for item in items:
            segment = next((s for s in self._segments if s.number == item.segment), None)
            if segment and item.header:
                segment.remove(item.header.samples, item.header.length)
            self.read = self._normal(item.end)

    def acknowledge(self) -> None:
        """All that has been read is done with: note it, and delete files that are not needed any more."""
        with suppress(OSError):  # a position that is not noted costs sending twice, after a crash
            self._position.write(self.read)
        while len(self._segments) > 1 and self._segments[0].number < self.read.segment:
            self._delete(self._segments.popleft())

    def drop_oldest(self) -> int:
        """Delete the oldest segment; how many unread samples it had. There must be more than one."""
        segment = self._segments.popleft()
        self._delete(segment)
        self.read = max(self.read, Position(self._segments[0].number, 0))
        return segment.samples

    def segments(self) -> int:
        """How many files there are."""
        return len(self._segments)

    def size(self) -> int:
        """Bytes on disk, acknowledged ones included."""
        return sum(segment.size for segment in self._segments)

    def oldest_segment_ms(self) -> int:
        """The newest sample in the oldest segment, in milliseconds."""
        return self._segments[0].newest_ms

    def pending(self) -> Pending:
        """What has not been read."""
        return Pending(
            sum(segment.requests for segment in self._segments),
            sum(segment.samples for segment in self._segments),
            sum(segment.bytes for segment in self._segments),
        )

    def close(self) -> None:
        """Sync and close everything; files of which nothing is left to read are deleted."""
        self._close_writer(sync=True)
        if self._position.position == self.read and not self.pending().requests:
            while self._segments:
                self._delete(self._segments.popleft())
        self._close_reader()
        self._position.close()

    # ---- files ----

    def _find_segments(self) -> None:
        names = os.listdir(self._directory)  # noqa: PTH208 - a Path cannot be a descriptor
        acknowledged = self._position.position
        for number in sorted(int(match[1], 16) for name in names if (match := _NAME.fullmatch(name))):
            self._last_number = max(self._last_number, number)
            segment = _Segment(number)
            if number < acknowledged.segment:
                self._delete(segment)
                continue
            start = acknowledged.offset if number == acknowledged.segment else 0
            try:
                self._scan(segment, start)
            except OSError:
                continue  # not a file of ours, or one that cannot be read: it is left alone
            self._segments.append(segment)

    def _scan(self, segment: _Segment, start: int) -> None:
        file = open_file(self._directory, _name(segment.number), os.O_RDONLY)
        try:
            segment.size = os.fstat(file).st_size
            for header in headers(file, start):
                segment.add(header.samples, header.length, header.newest_ms)
        finally:
            os.close(file)

    def _open_writer(self, size: int) -> int:
        """The newest segment, or a new one where it has no room for this many bytes."""
        if self._writer is not None and self._segments[-1].size + size <= self._segment_size:
            return self._writer
        number = self._last_number + 1
        writer = open_file(self._directory, _name(number), os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._close_writer()
        self._writer = writer
        self._last_number = number
        self._segments.append(_Segment(number))
        if len(self._segments) == 1:
            self.read = Position(number, 0)
        return writer

    def _undo_write(self, writer: int, size: int) -> None:
        try:
            os.ftruncate(writer, size)
        except OSError:
            self._close_writer()  # what was half written is never read, and after a restart skipped as damage

    def _delete(self, segment: _Segment) -> None:
        if self._reader and self._reader[0] == segment.number:
            self._close_reader()
        with suppress(OSError):
            os.unlink(_name(segment.number), dir_fd=self._directory)

    def _close_writer(self, *, sync: bool = False) -> None:
        if self._writer is not None:
            with suppress(OSError):
                if sync:
                    os.fdatasync(self._writer)
            os.close(self._writer)
        self._writer = None

    def _close_reader(self) -> None:
        if self._reader:
            os.close(self._reader[1])
        self._reader = None

    # ---- reading ----

    def _item(self, segment: _Segment, offset: int) -> Item:
        try:
            file = self._reader_of(segment)
            header = next_header(file, offset)
            if header is None:
                return Item(None, None, segment.number, Position(segment.number, segment.size))
            if header.offset > offset:
                return Item(None, None, segment.number, Position(segment.number, header.offset))
            return Item(read_body(file, header), header, segment.number, Position(segment.number, header.end))
        except OSError:
            return Item(None, None, segment.number, Position(segment.number, segment.size))

    def _reader_of(self, segment: _Segment) -> int:
        if self._reader is None or self._reader[0] != segment.number:
            self._close_reader()
            self._reader = segment.number, open_file(self._directory, _name(segment.number), os.O_RDONLY)
        return self._reader[1]

    def _normal(self, position: Position) -> Position:
        """The same place, in the segment that has something from there on, if there is one."""
        for segment in self._segments:
            if segment.number > position.segment:
                return Position(segment.number, 0)
            if segment.number == position.segment and position.offset < segment.size:
                return position
        return position


def _name(number: int) -> str:
    return f"{number:016x}.segment"
