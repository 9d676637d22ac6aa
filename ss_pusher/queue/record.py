"""Requests as records in a file, made to be found again when bytes around them are damaged.

A record is a header and a body. The header has a checksum of its own, so that a length is never believed that was
not written; the body's checksum stands in the header. Whoever meets damage looks for the next header that is whole.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from ss_pusher.model import Protocol, Request

MAGIC: Final = b"\x8fSQ1"
"""Begins a header; no text and no UTF-8 has it by accident. The digit is the version of the format."""

_FIELDS: Final = struct.Struct("<4sIIBxxxIqq")  # magic, length, CRC-32 of the body, protocol, samples, oldest, newest
_CHECKSUM: Final = struct.Struct("<I")  # CRC-32 of the fields
HEADER_SIZE: Final = _FIELDS.size + _CHECKSUM.size
_WINDOW: Final = 1 << 16
_PROTOCOLS: Final = frozenset(Protocol)


class Header(NamedTuple):
    """A whole header at `offset` in its file."""

    offset: int
    length: int
    checksum: int
    protocol: int
    samples: int
    oldest_ms: int
    newest_ms: int

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.offset + HEADER_SIZE + self.length


def pack(request: Request) -> bytes:
    """The record of a request."""
    body = request.body
    fields = _FIELDS.pack(
        MAGIC,
        len(body),
        zlib.crc32(body),
        request.protocol,
        request.samples,
        request.oldest_ms,
        request.newest_ms,
    )
    return fields + _CHECKSUM.pack(zlib.crc32(fields)) + body


def next_header(file: int, offset: int) -> Header | None:
    """The first whole header at or after `offset` whose body the file has in full; None when there is none."""
    size = os.fstat(file).st_size
    while offset + HEADER_SIZE <= size:
        header = _unpack(os.pread(file, HEADER_SIZE, offset), offset)
        if header and header.end <= size:
            return header
        offset = _find_magic(file, offset + 1, size)
    return None


def read_body(file: int, header: Header) -> Request | None:
    """The request, or None where its body is damaged or of a protocol that a later version knows."""
    body = os.pread(file, header.length, header.offset + HEADER_SIZE)
    if zlib.crc32(body) != header.checksum or header.protocol not in _PROTOCOLS:
        return None
    return Request(Protocol(header.protocol), body, header.samples, header.oldest_ms, header.newest_ms)


def headers(file: int, offset: int) -> Iterator[Header]:
    """Every whole header from `offset` on."""
    while header := next_header(file, offset):
        yield header
        offset = header.end


def _unpack(data: bytes, offset: int) -> Header | None:
    if data[:4] != MAGIC or len(data) < HEADER_SIZE:
        return None
    if zlib.crc32(data[: _FIELDS.size]) != _CHECKSUM.unpack_from(data, _FIELDS.size)[0]:
        return None
    return Header(offset, *_FIELDS.unpack_from(data)[1:])


def _find_magic(file: int, offset: int, size: int) -> int:
    """Where `MAGIC` stands next, or `size`."""
    while offset < size:
        window = os.pread(file, _WINDOW, offset)
        found = window.find(MAGIC)
        if found >= 0:
            return offset + found
        if len(window) < len(MAGIC):
            break
        offset += len(window) - len(MAGIC) + 1  # it may begin in this window and end in the next
    return size
