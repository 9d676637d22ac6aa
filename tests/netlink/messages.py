"""Netlink messages made for tests: from captures, resized where another kernel is meant, or built from nothing."""

import struct
from pathlib import Path
from typing import Final

from tests.netlink.oracle import INFO, NLATTR, NLMSGHDR

DATA: Final = Path(__file__).parent / "data"
HEADER: Final = 88  # nlmsghdr and inet_diag_msg
PRIVILEGED: Final = (DATA / "privileged.bin").read_bytes()
UNPRIVILEGED: Final = (DATA / "unprivileged.bin").read_bytes()
EVENTS: Final = (DATA / "events.bin").read_bytes()
TCP_INFO_SIZES: Final = (192, 224, 232, 248, 280)
"""Those of Linux 4.10, 4.19, 5.4, 6.7 and 6.18. The kernel only ever appends, so shorter ones are the last one cut."""


def split(data: bytes) -> list[bytes]:
    """The messages of a sound buffer, padding included."""
    messages = []
    while data:
        (length,) = struct.unpack_from("=I", data)
        messages.append(data[: (length + 3) // 4 * 4])
        data = data[len(messages[-1]) :]
    return messages


def with_tcp_info_of(data: bytes, size: int) -> bytes:
    """The messages as a kernel would send them whose struct tcp_info has `size` bytes.

    Longer ones end in 0xAA, which nobody may read.
    """
    return b"".join(_resized(message, size) for message in split(data))


def message(
    header: bytes,
    attributes: list[tuple[int, bytes]],
    kind: int = 20,
    *,
    flags: int = 2,
    sequence: int = 7,
    port: int = 9,
) -> bytes:
    """A message with `header` (struct inet_diag_msg) and attributes of (type, payload)."""
    body = header + b"".join(attribute(kind, payload) for kind, payload in attributes)
    return NLMSGHDR.pack(NLMSGHDR.size + len(body), kind, flags, sequence, port) + body


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    size = NLATTR.size + len(payload)
    return NLATTR.pack(size, kind) + payload + bytes(-size % 4)


def _resized(whole: bytes, size: int) -> bytes:
    length, kind, flags, sequence, port = NLMSGHDR.unpack_from(whole)
    if kind not in (18, 20):
        return whole
    rest, attributes = whole[HEADER:length], []
    while rest:
        taken, name = NLATTR.unpack_from(rest)
        payload = rest[NLATTR.size : taken]
        attributes.append((name, payload[:size].ljust(size, b"\xaa") if name == INFO else payload))
        rest = rest[(taken + 3) // 4 * 4 :]
    return message(whole[NLMSGHDR.size : HEADER], attributes, kind, flags=flags, sequence=sequence, port=port)
