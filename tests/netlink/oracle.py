"""The slow and obvious decoder, one message after the other: what the fast one must equal on any bytes.

It shares no table with the program: the structures stand here in the order of the kernel's headers.
"""

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import numpy as np

from ss_pusher.model import Sockets
from ss_pusher.netlink.wire import Control

NLMSGHDR: Final = struct.Struct("=IHHII")
INET_DIAG_MSG: Final = struct.Struct("=BBBB" + "2s2s16s16sIQ" + "IIIII")
NLATTR: Final = struct.Struct("=HH")
INFO, CONG, CGROUP_ID = 2, 4, 21
NOTHING: Final = {"rtt": 0, "rcv_rtt": 0, "last_ack_sent": 0, "delivery_rate": 0} | {
    "snd_ssthresh": 0x7FFFFFFF,
    "min_rtt": 2**32 - 1,
    "pacing_rate": 2**64 - 1,
    "max_pacing_rate": 2**64 - 1,
}

# include/uapi/linux/tcp.h, struct tcp_info, member by member; _wscale and _flags hold bit fields
TCP_INFO: Final = """
    u8 state, ca_state, retransmits, probes, backoff, options, _wscale, _flags
    u32 rto, ato, snd_mss, rcv_mss, unacked, sacked, lost, retrans, fackets
    u32 last_data_sent, last_ack_sent, last_data_recv, last_ack_recv
    u32 pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering, rcv_rtt, rcv_space, total_retrans
    u64 pacing_rate, max_pacing_rate, bytes_acked, bytes_received
    u32 segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out
    u64 delivery_rate, busy_time, rwnd_limited, sndbuf_limited
    u32 delivered, delivered_ce
    u64 bytes_sent, bytes_retrans
    u32 dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash
    u16 total_rto, total_rto_recoveries
    u32 total_rto_time, received_ce, delivered_e1_bytes, delivered_e0_bytes, delivered_ce_bytes
    u32 received_e1_bytes, received_e0_bytes, received_ce_bytes
"""
_CODES: Final = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


@dataclass(frozen=True)
class Row:
    """One socket. `info` has None for what is absent."""

    cookie: int
    family: int
    state: int
    local: IPv4Address | IPv6Address
    local_port: int
    remote: IPv4Address | IPv6Address
    remote_port: int
    interface: int
    uid: int
    inode: int
    cgroup: int = 0
    congestion: bytes = b""
    info: Mapping[str, int | None] = field(default_factory=dict, hash=False)


def decode(data: bytes) -> tuple[list[Row], Control]:
    """Every row with every field, and what else is said."""
    rows: list[Row] = []
    said = Control()
    at = 0
    while len(data) - at >= NLMSGHDR.size:
        length, kind, flags, _, _ = NLMSGHDR.unpack_from(data, at)
        if length < NLMSGHDR.size or at + length > len(data):
            break
        if flags & 0x10:
            said = said._replace(interrupted=True)
        message = data[at : at + length]
        if kind in (18, 20):
            row = _row(message)
            rows += [row] if row else []
            said = said._replace(malformed=said.malformed + (row is None))
        else:
            said = _said(said, kind, message)
        at += (length + 3) // 4 * 4
    return rows, said._replace(truncated=max(len(data) - at, 0))


def rows_of(sockets: Sockets) -> list[Row]:
    """What the fast decoder gave, in the same form."""
    return [_row_of(sockets, index) for index in range(len(sockets))]


def _said(said: Control, kind: int, message: bytes) -> Control:
    number = struct.unpack_from("=i", message, 16)[0] if kind in (2, 3) and len(message) >= 20 else None
    if kind == 4:
        return said._replace(overrun=True)
    if number is not None:
        return said._replace(done=said.done or kind == 3, error=said.error or abs(number))
    return said if kind == 1 else said._replace(malformed=said.malformed + 1)


def _row(message: bytes) -> Row | None:
    if len(message) < NLMSGHDR.size + INET_DIAG_MSG.size:
        return None
    head = INET_DIAG_MSG.unpack_from(message, NLMSGHDR.size)
    family, state, timer, retransmits, sport, dport, source, destination, interface, cookie, *rest = head
    expires, rqueue, wqueue, uid, inode = rest
    attributes = _attributes(message[NLMSGHDR.size + INET_DIAG_MSG.size :])
    if family not in (2, 10) or attributes is None:
        return None
    info = _tcp_info(attributes.get(INFO, b""))
    info |= {"timer": timer, "timer_retransmits": retransmits, "timer_expires": expires}
    info |= {"receive_queue": rqueue, "send_queue": wqueue}
    local, remote = _addresses(family, source, destination)
    cgroup = attributes.get(CGROUP_ID, b"")
    return Row(
        cookie=cookie,
        family=2 if isinstance(local, IPv4Address) else 10,
        state=state,
        local=local,
        local_port=int.from_bytes(sport),
        remote=remote,
        remote_port=int.from_bytes(dport),
        interface=interface,
        uid=uid,
        inode=inode,
        cgroup=struct.unpack_from("=Q", cgroup)[0] if len(cgroup) >= 8 else 0,
        congestion=attributes.get(CONG, b"")[:16].rstrip(b"\0"),
        info=info,
    )


def _attributes(data: bytes) -> dict[int, bytes] | None:
    found = {}
    while len(data) >= NLATTR.size:
        size, kind = NLATTR.unpack_from(data)
        if size < NLATTR.size or size > len(data):
            return None
        found[kind & 0x3FFF] = data[NLATTR.size : size]
        data = data[(size + 3) // 4 * 4 :]
    return found


def members() -> Iterator[tuple[str, int, struct.Struct]]:
    """Name, offset and form of each member of struct tcp_info."""
    offset = 0
    for line in TCP_INFO.strip().splitlines():
        kind, names = line.split(maxsplit=1)
        for name in names.split(", "):
            form = struct.Struct("=" + _CODES[kind])
            yield name, offset, form
            offset += form.size


def _tcp_info(payload: bytes) -> dict[str, int | None]:
    info: dict[str, int | None] = {}
    for name, offset, form in members():
        value = form.unpack_from(payload, offset)[0] if offset + form.size <= len(payload) else None
        info[name] = None if name in NOTHING and value == NOTHING[name] else value
    scale, flags = info.pop("_wscale"), info.pop("_flags")
    info["snd_wscale"] = None if scale is None else scale & 15
    info["rcv_wscale"] = None if scale is None else scale >> 4
    info["delivery_rate_app_limited"] = None if flags is None else flags & 1
    info["fastopen_client_fail"] = None if flags is None else flags >> 1 & 3
    if info["rtt"] is None:
        info["rttvar"] = None
    return info


def _addresses(family: int, source: bytes, destination: bytes) -> tuple[Any, Any]:
    if family == 2:
        return IPv4Address(source[:4]), IPv4Address(destination[:4])
    ends = IPv6Address(source), IPv6Address(destination)
    mapped = [end.ipv4_mapped or (IPv4Address(0) if int(end) == 0 else None) for end in ends]
    carries_ipv4 = any(end.ipv4_mapped for end in ends) and None not in mapped
    return (mapped[0], mapped[1]) if carries_ipv4 else ends


def _row_of(sockets: Sockets, index: int) -> Row:
    def address(words: Sequence[np.uint64]) -> IPv4Address | IPv6Address:
        number = int(words[0]) << 64 | int(words[1])
        if sockets.family[index] == 2:
            assert number >> 32 == 0xFFFF
            return IPv4Address(number & 0xFFFFFFFF)
        return IPv6Address(number)

    def value(name: str) -> int | None:
        number = int(sockets.info[name][index])
        if not sockets.known(name)[index]:
            assert number == 0
            return None
        return number

    return Row(
        cookie=int(sockets.cookie[index]),
        family=int(sockets.family[index]),
        state=int(sockets.state[index]),
        local=address(sockets.local[index]),
        local_port=int(sockets.local_port[index]),
        remote=address(sockets.remote[index]),
        remote_port=int(sockets.remote_port[index]),
        interface=int(sockets.interface[index]),
        uid=int(sockets.uid[index]),
        inode=int(sockets.inode[index]),
        cgroup=int(sockets.cgroup[index]),
        congestion=bytes(sockets.congestion[index]),
        info={name: value(name) for name in sockets.info},
    )


def with_only(row: Row, names: Collection[str]) -> Row:
    """The row with only these fields of `info`."""
    return replace(row, info={name: value for name, value in row.info.items() if name in names})


def heads(data: bytes) -> list[int]:
    """Where in a sound buffer the lengths and types of messages and attributes stand."""
    found = []
    at = 0
    while at < len(data):
        length = NLMSGHDR.unpack_from(data, at)[0]
        found += [at, at + 4]
        inner = at + NLMSGHDR.size + INET_DIAG_MSG.size
        while inner < at + length:
            found += [inner, inner + 2]
            inner += (NLATTR.unpack_from(data, inner)[0] + 3) // 4 * 4
        at += (length + 3) // 4 * 4
    return found
