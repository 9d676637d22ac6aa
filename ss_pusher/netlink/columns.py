"""Columns that grow while a dump is read, in pieces small enough to stay in the processor's cache."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ss_pusher.model import U8, U16, U64, AddressFamily, Bools, Sockets
from ss_pusher.netlink.layout import NLMSG_HEADER, Place, distinct, gather
from ss_pusher.netlink.tcp_info import FIELDS, Field, Source

INET_DIAG_INFO: Final = 2  # include/uapi/linux/inet_diag.h
INET_DIAG_CONG: Final = 4
INET_DIAG_MARK: Final = 15
INET_DIAG_CGROUP_ID: Final = 21
TCP_CA_NAME_MAX: Final = 16  # include/net/tcp.h

MESSAGE: Final[np.dtype[Any]] = np.dtype(
    [
        ("length", "u4"),
        ("type", "u2"),
        ("flags", "u2"),
        ("sequence", "u4"),
        ("port", "u4"),
        ("family", "u1"),
        ("state", "u1"),
        ("timer", "u1"),
        ("retrans", "u1"),
        ("local_port", ">u2"),
        ("remote_port", ">u2"),
        ("local", ">u8", 2),
        ("remote", ">u8", 2),
        ("interface", "u4"),
        ("cookie", "u8"),
        ("expires", "u4"),
        ("rqueue", "u4"),
        ("wqueue", "u4"),
        ("uid", "u4"),
        ("inode", "u4"),
    ]
)
"""struct nlmsghdr, then struct inet_diag_msg: 88 bytes without padding."""

_FIRST_ROOM: Final = 1024
_AS_THEY_ARE: Final = (
    *("cookie", "family", "state", "local", "remote"),
    *("local_port", "remote_port", "interface", "uid", "inode"),
)
_PLAIN: Final = (*_AS_THEY_ARE, "cgroup", "congestion")
_INFO_SIZES: Final = "sizes of tcp_info"
_MARK_SIZES: Final = "sizes of the mark"
_ATTRIBUTES: Final = (INET_DIAG_INFO, INET_DIAG_CONG, INET_DIAG_CGROUP_ID)
_CGROUP: Final = np.dtype([("id", "u8")])
_MARK: Final = np.dtype([("mark", "u4")])
_NAME: Final = np.dtype([("words", "u8", 2)])
_MAPPED: Final = np.uint64(0xFFFF)  # RFC 4291, section 2.5.5.2: the upper half of the low word of ::ffff:a.b.c.d
_HALF: Final = np.uint64(32)

# Of a name of n bytes, row n keeps the n bytes and blanks what stands behind them.
_KEPT: Final = np.array(
    [[0xFF] * n + [0] * (TCP_CA_NAME_MAX - n) for n in range(TCP_CA_NAME_MAX + 1)], dtype=np.uint8
).view(np.uint64)

_Records: TypeAlias = npt.NDArray[np.void]


class Columns:
    """The columns of `model.Sockets` in the making, with room for more rows than there are.

    All of them share one block of memory: large enough for huge pages, it costs a tenth of the page faults.
    """

    def __init__(self, fields: Sequence[Field], room: int = 0) -> None:
        self._fields = tuple(fields)
        witnesses = (FIELDS[field.witness] for field in fields if field.witness)
        read = tuple(dict.fromkeys((*fields, *witnesses)))
        self._info = tuple(field for field in read if field.source is Source.TCP_INFO)
        self._message = tuple(field for field in read if field.source is Source.INET_DIAG_MSG)
        self._mark = next((field for field in read if field.source is Source.MARK), None)
        self.attributes: Final = (*_ATTRIBUTES, *([INET_DIAG_MARK] if self._mark else []))
        self._tcp_info = _record(self._info)
        self._inet_diag_msg = _record(self._message, shift=NLMSG_HEADER, size=MESSAGE.itemsize)
        blank = Sockets.none({})
        self._columns: dict[str | Field, npt.NDArray[Any]] = {name: getattr(blank, name) for name in _PLAIN}
        self._columns |= {field: np.empty(0, field.dtype) for field in read}
        self._columns[_INFO_SIZES] = np.empty(0, np.uint16)
        if self._mark:
            self._columns[_MARK_SIZES] = np.empty(0, np.uint16)
        self._rows = 0
        self._room = 0
        if room:
            self._reserve(room)

    def __len__(self) -> int:
        return self._rows

    def append(self, buffer: U8, messages: _Records, places: Mapping[int, Place]) -> None:
        """Add a row for each of `messages` (of dtype `MESSAGE`), with what its attributes at `places` hold."""
        rows = slice(self._rows, self._rows + len(messages))
        self._reserve(rows.stop)
        self._rows = rows.stop
        for name in _AS_THEY_ARE:
            self._columns[name][rows] = messages[name]
        present_as_ipv4(*(self._columns[name][rows] for name in ("family", "local", "remote")))
        self._columns["cgroup"][rows] = _cgroups(buffer, places[INET_DIAG_CGROUP_ID])
        self._columns["congestion"][rows] = _names(buffer, places[INET_DIAG_CONG])
        self._split(messages.view(self._inet_diag_msg), self._message, rows)
        self._columns[_INFO_SIZES][rows] = places[INET_DIAG_INFO].sizes
        if self._mark:
            self._columns[self._mark][rows] = gather(buffer, places[INET_DIAG_MARK].starts, _MARK)["mark"]
            self._columns[_MARK_SIZES][rows] = places[INET_DIAG_MARK].sizes
        if self._info:
            records = gather(buffer, places[INET_DIAG_INFO].starts, self._tcp_info)
            self._split(self._as_sent(records, places[INET_DIAG_INFO].sizes), self._info, rows)

    def sockets(self) -> Sockets:
        """All rows so far. The columns are handed over: append nothing afterwards."""
        filled = {key: column[: self._rows] for key, column in self._columns.items()}
        sizes = filled[_INFO_SIZES]
        short = {int(size): sizes <= size for size in distinct(sizes) if size < self._tcp_info.itemsize}
        absent = {}
        for field in self._fields:
            mask = _no_value(field, filled)
            left_out = max((size for size in short if size < field.end), default=None)
            if left_out is not None and field.source is Source.TCP_INFO:
                mask = short[left_out] if mask is None else mask | short[left_out]
            if mask is not None:
                absent[field.name] = mask
        if self._mark:
            untold = filled[_MARK_SIZES] < _MARK.itemsize
            filled[self._mark][untold] = 0
            absent[self._mark.name] = untold
        info = {field.name: filled[field] for field in self._fields}
        return Sockets(**{name: filled[name] for name in _PLAIN}, info=info, absent=absent)

    def _reserve(self, rows: int) -> None:
        if rows <= self._room:
            return
        self._room = max(rows, self._room * 3 // 2, _FIRST_ROOM)
        shapes = {key: (self._room, *column.shape[1:]) for key, column in self._columns.items()}
        sizes = [math.prod(shapes[key]) * column.itemsize for key, column in self._columns.items()]
        ends = np.cumsum([(size + 63) // 64 * 64 for size in sizes])
        block = np.empty(ends[-1], np.uint8)
        for (key, column), start in zip(self._columns.items(), (0, *ends), strict=False):
            larger = np.ndarray(shapes[key], column.dtype, block, start)
            larger[: self._rows] = column[: self._rows]
            self._columns[key] = larger

    def _as_sent(self, records: _Records, sizes: U16) -> _Records:
        """With zeros for what was not sent: behind a shorter tcp_info stands the next attribute."""
        width = self._tcp_info.itemsize
        shorter = (sizes > 0) & (sizes < width)
        if not shorter.any():
            return records
        records = records.copy()
        octets = records.view(np.uint8).reshape(-1, width)
        for size in distinct(sizes[shorter]):
            whole = max((field.end for field in self._info if field.end <= size), default=0)
            octets[sizes == size, whole:] = 0
        return records

    def _split(self, records: _Records, fields: Sequence[Field], rows: slice) -> None:
        for field in fields:
            column = records[field.name]
            self._columns[field][rows] = column >> field.shift & (1 << field.bits) - 1 if field.bits else column


def present_as_ipv4(family: U8, local: U64, remote: U64) -> None:
    """Bring IPv4 addresses into their mapped form, in place: uint8[n], and uint64[n, 2] twice.

    AF_INET has its address in the first four bytes. A dual-stack socket has ::ffff:a.b.c.d under AF_INET6, at both
    ends or, where the other is not set, at one: it is an IPv4 flow too.
    """
    plain = family == AddressFamily.IPV4
    for address in (local, remote):
        np.copyto(address[:, 1], address[:, 0] >> _HALF | _MAPPED << _HALF, where=plain)
        np.copyto(address[:, 0], 0, where=plain)
    if plain.all():
        return
    short = np.flatnonzero(~plain & (local[:, 0] | remote[:, 0] == 0))
    ends = [address[short, 1] for address in (local, remote)]
    mapped = [low >> _HALF == _MAPPED for low in ends]
    unset = [low == 0 for low in ends]
    dual = (mapped[0] & (mapped[1] | unset[1])) | (mapped[1] & unset[0])
    family[short[dual]] = AddressFamily.IPV4
    for address, empty in zip((local, remote), unset, strict=True):
        address[short[dual & empty], 1] = _MAPPED << _HALF


def _no_value(field: Field, filled: Mapping[str | Field, npt.NDArray[Any]]) -> Bools | None:
    """The rows in which the kernel said that it has no value, set to 0; None where there are none."""
    witness = FIELDS[field.witness] if field.witness else field
    if witness.no_value is None:
        return None
    mask: Bools = filled[witness] == witness.dtype.type(witness.no_value)
    if not mask.any():
        return None
    filled[field][mask] = 0
    return mask


def _cgroups(buffer: U8, place: Place) -> U64:
    ids = gather(buffer, place.starts, _CGROUP)["id"]
    return np.where(place.sizes < _CGROUP.itemsize, np.uint64(0), ids)


def _names(buffer: U8, place: Place) -> npt.NDArray[np.bytes_]:
    if not place.sizes.any():
        return np.zeros(len(place.sizes), f"S{TCP_CA_NAME_MAX}")
    words = gather(buffer, place.starts, _NAME)["words"] & _KEPT.take(place.sizes, axis=0, mode="clip")
    return words.view(f"S{TCP_CA_NAME_MAX}")[:, 0]


def _record(fields: Sequence[Field], shift: int = 0, size: int = 0) -> np.dtype[np.void]:
    """The fields as one structured dtype, `shift` bytes further in, as long as they need but at least `size`."""
    needed = max((field.end + shift for field in fields), default=0)
    return np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [field.dtype for field in fields],
            "offsets": [field.offset + shift for field in fields],
            "itemsize": max(size, (needed + 3) // 4 * 4),
        }
    )
