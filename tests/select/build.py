"""Small ticks for the tests of the selection."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from hypothesis import HealthCheck, settings

from ss_pusher.metrics import COUNTERS, GAUGES
from ss_pusher.model import OTHER_WORD, U64, Choice, FlowCounter, FlowGauge, Groups, KeyPart

DIRECTION: Final = KeyPart("direction", 0, 1)
ADDRESS: Final = KeyPart("remote_address", 1, 3)
PORT: Final = KeyPart("service_port", 4, 1)
LAYOUT: Final = (DIRECTION, ADDRESS, PORT)

SENT: Final = "ss_flow_sent_bytes_total"
RECEIVED: Final = "ss_flow_received_bytes_total"
RETRANSMITTED: Final = "ss_flow_retransmitted_segments_total"
SEGMENTS: Final = "ss_flow_sent_segments_total"
RTT: Final = "ss_flow_rtt_seconds"
RTT_LEAST: Final = "ss_flow_rtt_min_seconds"

Key = tuple[int, ...]

unhurried: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: a busy machine decides nothing."""


def counter(name: str) -> FlowCounter:
    return next(c for c in COUNTERS if c.family.name == name)


def gauge(name: str) -> FlowGauge:
    return next(g for g in GAUGES if g.family.name == name)


ALL_COUNTERS: Final = tuple(counter(name) for name in (SENT, RECEIVED, RETRANSMITTED, SEGMENTS))
ALL_GAUGES: Final = tuple(gauge(name) for name in (RTT, RTT_LEAST))


def address4(text: str, length: int = 32) -> Key:
    """The three words of an IPv4 address."""
    high, *rest = (int(byte) for byte in text.split("."))
    number = high << 24 | rest[0] << 16 | rest[1] << 8 | rest[2]
    return (0, 0xFFFF << 32 | number, 96 + length)


def key(address: str, direction: int = 1, port: int = 443, length: int = 32) -> Key:
    """A key of `LAYOUT`."""
    return (direction, *address4(address, length), port)


def other(direction: int = 1) -> Key:
    """The key of the remainder in `LAYOUT`."""
    return (direction, *[OTHER_WORD] * 4)


def tick(
    keys: Sequence[Key], values: Mapping[str, Sequence[float]] | None = None, sockets: Sequence[int] | None = None
) -> Groups:
    """Groups with the given counters and gauges by name; counters that are not given stand still, gauges are NaN."""
    n, values = len(keys), values or {}
    counters = [values.get(c.family.name, [0] * n) for c in ALL_COUNTERS]
    gauges = [values.get(g.family.name, [np.nan] * n) for g in ALL_GAUGES]
    open_sockets = np.array(sockets if sockets is not None else [1] * n, np.int64)
    folded = np.array(gauges, np.float64).reshape(len(gauges), n)
    return Groups(
        flow_counters=ALL_COUNTERS,
        flow_gauges=ALL_GAUGES,
        keys=np.array(keys, np.uint64).reshape(n, len(keys[0]) if keys else sum(part.width for part in LAYOUT)),
        sockets=open_sockets,
        counters=np.array(counters, np.int64).reshape(len(counters), n),
        gauges=folded,
        weights=np.where(np.isnan(folded), 0, open_sockets),
    )


def sending(amounts: Mapping[Key, int]) -> Groups:
    """Groups that sent so many bytes."""
    return tick(list(amounts), {SENT: list(amounts.values())})


def keys_of(choice: Choice) -> list[Key]:
    return as_keys(choice.keys)


def as_keys(keys: U64) -> list[Key]:
    return [tuple(row) for row in keys.tolist()]


def owners(groups: Groups, choice: Choice) -> dict[Key, Key]:
    """The exported key that each group is credited to."""
    return dict(zip(as_keys(groups.keys), as_keys(choice.keys[choice.owner]), strict=True))


def peers(count: int, start: int = 0) -> list[Key]:
    """Keys of so many different addresses, each in a network of its own."""
    return [key(f"{10 + n // 65536}.{n // 256 % 256}.{n % 256}.1") for n in range(start, start + count)]
