"""The sock_diag protocol as pure functions: a request as bytes, replies as columns. No I/O.

Sources: Linux include/uapi/linux/netlink.h, sock_diag.h and inet_diag.h; net/ipv4/inet_diag.c for what is sent when.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ss_pusher.model import U8, AddressFamily, Bools, Sockets, TcpState
from ss_pusher.netlink.columns import INET_DIAG_CONG, INET_DIAG_INFO, MESSAGE, Columns
from ss_pusher.netlink.layout import find_messages, gather, locate, padded
from ss_pusher.netlink.tcp_info import Field, Source

NLMSG_NOOP: Final = 1  # netlink.h
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLMSG_OVERRUN: Final = 4
NLM_F_REQUEST: Final = 0x01
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
TCPDIAG_GETSOCK: Final = 18  # inet_diag.h
SOCK_DIAG_BY_FAMILY: Final = 20  # sock_diag.h
INET_DIAG_REQ_BYTECODE: Final = 1  # inet_diag.h

_CONTROL: Final = np.dtype([("length", "u4"), ("type", "u2"), ("flags", "u2"), ("rest", "u8"), ("error", "i4")])
_NLMSGHDR: Final = struct.Struct("=IHHII")
_INET_DIAG_REQ: Final = struct.Struct("=3xB48xI4x")  # ext and states; no family, no address
_NLATTR: Final = struct.Struct("=HH")


class Control(NamedTuple):
    """What a buffer says besides sockets.

    `error` is an errno that the kernel sent, or 0. `truncated` is how many bytes at the end are no whole message;
    `malformed` counts messages that cannot be what they say: their rows are left out.
    """

    done: bool = False
    error: int = 0
    overrun: bool = False
    interrupted: bool = False
    truncated: int = 0
    malformed: int = 0


def dump_request(states: Iterable[TcpState], extensions: Iterable[int], bytecode: bytes, sequence: int) -> bytes:
    """Ask for the TCP sockets in any of `states`, with the attributes `extensions` (1 to 8 can be asked for).

    `bytecode` is a filter that the kernel runs on each socket (INET_DIAG_BC_…); empty: none. This is the older of the
    two requests: it gives IPv4 and IPv6 in one walk through the kernel's table, where the newer takes a walk for each.
    """
    asked = sum(1 << (extension - 1) for extension in set(extensions))
    body = _INET_DIAG_REQ.pack(asked, sum(1 << state for state in set(states)))
    if bytecode:
        body += _NLATTR.pack(_NLATTR.size + len(bytecode), INET_DIAG_REQ_BYTECODE) + bytecode
    length = _NLMSGHDR.size + len(body)
    return _NLMSGHDR.pack(length, TCPDIAG_GETSOCK, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


def extensions_for(fields: Iterable[Field], *, congestion: bool) -> tuple[int, ...]:
    """The attributes that must be asked for, so that the kernel copies nothing that nobody reads."""
    info = any(field.source is Source.TCP_INFO for field in fields)
    return (*([INET_DIAG_INFO] if info else []), *([INET_DIAG_CONG] if congestion else []))


def decode(data: bytes | bytearray | memoryview, fields: Sequence[Field]) -> tuple[Sockets, Control]:
    """The sockets in whole netlink messages, and what else the messages say. Never raises on any bytes."""
    columns = Columns(fields)
    control = append(columns, padded(data), len(data))
    return columns.sockets(), control


def append(columns: Columns, buffer: U8, size: int) -> Control:
    """Decode the first `size` bytes of `buffer`, which ends in `layout.SLACK` zeros behind them, into `columns`."""
    messages = find_messages(buffer, size)
    headers = gather(buffer, messages.starts, MESSAGE)
    kinds, families = headers["type"], headers["family"]
    told: Bools = (kinds == TCPDIAG_GETSOCK) | (kinds == SOCK_DIAG_BY_FAMILY)
    inet: Bools = (families == AddressFamily.IPV4) | (families == AddressFamily.IPV6)
    readable = told & inet & (messages.lengths >= MESSAGE.itemsize)
    rows = messages if readable.all() else messages.select(readable)
    places, broken = locate(buffer, rows, columns.attributes)
    if broken.any():
        rows = rows.select(~broken)
        places = {kind: place.select(~broken) for kind, place in places.items()}
    columns.append(buffer, headers if rows is messages else gather(buffer, rows.starts, MESSAGE), places)
    other = Control() if rows is messages else _other(gather(buffer, messages.starts[~told], _CONTROL))
    return other._replace(
        interrupted=bool(np.bitwise_or.reduce(headers["flags"]) & NLM_F_DUMP_INTR),
        truncated=size - messages.size,
        malformed=other.malformed + int(np.count_nonzero(told)) - len(rows.starts),
    )


def _other(messages: npt.NDArray[np.void]) -> Control:
    """What messages say that are no sockets, `messages` being of dtype `_CONTROL`."""
    kinds = messages["type"]
    carries = ((kinds == NLMSG_ERROR) | (kinds == NLMSG_DONE)) & (messages["length"] >= _CONTROL.itemsize)
    errors = messages["error"][carries]
    known = carries | (kinds == NLMSG_OVERRUN) | (kinds == NLMSG_NOOP)
    return Control(
        done=bool((kinds[carries] == NLMSG_DONE).any()),
        error=next((abs(int(error)) for error in errors if error), 0),
        overrun=bool((kinds == NLMSG_OVERRUN).any()),
        malformed=int(np.count_nonzero(~known)),
    )
