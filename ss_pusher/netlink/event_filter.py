"""A classic BPF program that the kernel runs on each destroy event before it takes room in the receive buffer."""

import struct
from typing import Final, NamedTuple

SOCK_FILTER: Final = struct.Struct("=HBBI")  # include/uapi/linux/filter.h, struct sock_filter
_LOAD_WORD: Final = 0x20  # include/uapi/linux/bpf_common.h: BPF_LD | BPF_W | BPF_ABS; loads turn to host order
_LOAD_HALF: Final = 0x28  # BPF_LD | BPF_H | BPF_ABS
_LOAD_BYTE: Final = 0x30  # BPF_LD | BPF_B | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUALS: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_FAMILY: Final = 16  # behind struct nlmsghdr: include/uapi/linux/inet_diag.h, struct inet_diag_msg
_REMOTE_PORT: Final = 22
_REMOTE: Final = 40
_AF_INET: Final = 2
_MAPPED: Final = 0xFFFF  # the third word of ::ffff:a.b.c.d

_NEXT: Final = ""


class _Step(NamedTuple):
    code: int
    value: int
    if_equal: str = _NEXT
    if_not: str = _NEXT
    label: str = _NEXT


def event_filter(*, loopback: bool) -> bytes:
    """Instructions (struct sock_filter each) that let flows through, and flows over loopback only if asked for.

    What never had a peer is no flow: listeners, and sockets that were opened and not used. Their event has no remote
    address and no remote port. A flow that was aborted, or whose connect() failed, has lost its remote port too, but
    keeps its remote address: found by closing sockets in each of these ways (Linux 6.18).
    """
    loopback_flow = "keep" if loopback else "drop"
    return _assemble(
        [
            _Step(_LOAD_BYTE, _FAMILY),
            _Step(_EQUALS, _AF_INET, if_not="ipv6"),
            _Step(_LOAD_WORD, _REMOTE),
            _Step(_EQUALS, 0, if_equal="port"),
            _Step(_AND, 0xFF00_0000, label="ipv4"),
            _Step(_EQUALS, 0x7F00_0000, if_equal=loopback_flow, if_not="keep"),
            _Step(_LOAD_WORD, _REMOTE, label="ipv6"),
            _Step(_EQUALS, 0, if_not="keep"),
            _Step(_LOAD_WORD, _REMOTE + 4),
            _Step(_EQUALS, 0, if_not="keep"),
            _Step(_LOAD_WORD, _REMOTE + 8),
            _Step(_EQUALS, 0, if_equal="low"),
            _Step(_EQUALS, _MAPPED, if_not="keep"),
            _Step(_LOAD_WORD, _REMOTE + 12),
            _Step(_AND, 0xFF00_0000),
            _Step(_EQUALS, 0x7F00_0000, if_equal=loopback_flow, if_not="keep"),
            _Step(_LOAD_WORD, _REMOTE + 12, label="low"),
            _Step(_EQUALS, 1, if_equal=loopback_flow),
            _Step(_EQUALS, 0, if_not="keep"),
            _Step(_LOAD_HALF, _REMOTE_PORT, label="port"),
            _Step(_EQUALS, 0, if_equal="drop"),
            _Step(_RETURN, 0xFFFF_FFFF, label="keep"),
            _Step(_RETURN, 0, label="drop"),
        ]
    )


def _assemble(steps: list[_Step]) -> bytes:
    places = {step.label: place for place, step in enumerate(steps) if step.label}

    def jump(place: int, label: str) -> int:
        return places[label] - place - 1 if label else 0

    return b"".join(
        SOCK_FILTER.pack(step.code, jump(place, step.if_equal), jump(place, step.if_not), step.value)
        for place, step in enumerate(steps)
    )
