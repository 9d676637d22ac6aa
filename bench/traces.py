"""Days of made-up traffic, the same for the same seed: what a host's flows look like, peer by peer, tick by tick."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from ss_pusher.metrics import COUNTERS
from ss_pusher.model import F64, I64, U64, Groups, KeyPart, Rows

LAYOUT: Final = (KeyPart("direction", 0, 1), KeyPart("remote_address", 1, 3), KeyPart("service_port", 4, 1))

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
_SEGMENT: Final = 1400.0  # bytes

_NAMES: Final = ("ss_flow_sent_bytes_total", "ss_flow_received_bytes_total", "ss_flow_retransmitted_segments_total")
_COUNTERS: Final = tuple(next(c for c in COUNTERS if c.family.name == name) for name in _NAMES)


class Traffic(NamedTuple):
    """What some peers moved in a tick; no peer stands in it twice."""

    peers: Rows
    bytes: I64
    retransmits: I64
    flows: I64

    def groups(self) -> Groups:
        """The same as the groups of a tick; half of the peers' payload was sent, the rest received."""
        sent = self.bytes // 2
        return Groups(
            flow_counters=_COUNTERS,
            flow_gauges=(),
            keys=_keys(self.peers),
            sockets=self.flows,
            counters=np.array([sent, self.bytes - sent, self.retransmits]),
            gauges=np.empty((0, len(self.peers))),
            weights=np.empty((0, len(self.peers)), np.int64),
        )


Trace: TypeAlias = Iterator[Traffic]
MakeTrace: TypeAlias = Callable[[np.random.Generator, float, float], Trace]
"""Called with a source of chance, the seconds of a tick, and the share of the full number of peers."""


def _keys(peers: Rows) -> U64:
    """Peers as addresses of IPv4, scattered over all networks."""
    keys = np.empty((len(peers), 5), np.uint64)
    keys[:, 0] = 1
    keys[:, 1] = 0
    scattered = (peers.astype(np.uint64) * np.uint64(2654435761)) & np.uint64(0xFFFF_FFFF)  # odd: no two meet
    keys[:, 2] = np.uint64(0xFFFF << 32) | scattered
    keys[:, 3] = 128
    keys[:, 4] = 443
    return keys


class Peers:
    """Peers that come and go in sessions; a few are heavy, most are light; each keeps to its time zone's day."""

    def __init__(self, random: np.random.Generator, count: int, duty: float, first: int = 0) -> None:
        self._random = random
        self._ids = np.arange(first, first + count)
        self._rate = np.minimum(2e3 * (1 + random.pareto(1.1, count)), 2e8)  # bytes a second
        self._loss = np.minimum(1e-4 * random.lognormal(0, 2, count), 0.1)  # of segments
        self._duty = np.minimum(duty * random.lognormal(0, 0.7, count), 1)
        self._zone = random.choice([0.0, 6.0, 9.0], count) * HOUR
        self._open = random.random(count) < self._duty
        self._session = self._sizes(count)
        self._unevenness = random.standard_normal(count)

    def traffic(self, now: float, seconds: float) -> Traffic:
        """What they move in the tick that ends now. Sessions last 20 minutes on average."""
        ending = seconds / (20 * 60.0)
        day = 1 + 0.7 * np.cos(2 * np.pi * (now - self._zone) / DAY)
        wanted = np.minimum(self._duty * day, 0.95)
        chance = self._random.random(len(self._ids))
        begun = ~self._open & (chance < ending * wanted / (1 - wanted))
        self._open = (self._open & (chance >= ending)) | begun
        self._session[begun] = self._sizes(int(np.count_nonzero(begun)))
        rows = np.flatnonzero(self._open)
        kept = np.exp(-seconds / 60.0)  # unevenness lasts a minute
        fresh = self._random.standard_normal(len(rows))
        self._unevenness[rows] = kept * self._unevenness[rows] + np.sqrt(1 - kept**2) * fresh
        uneven = np.exp(0.8 * self._unevenness[rows] - 0.32)  # mean 1
        moved = (self._rate[rows] * self._session[rows] * day[rows] * uneven * seconds).astype(np.int64)
        return _traffic(self._random, self._ids[rows], moved, self._loss[rows])

    def _sizes(self, count: int) -> F64:
        return self._random.lognormal(-0.5, 1, count)


def _traffic(random: np.random.Generator, peers: Rows, moved: I64, loss: F64) -> Traffic:
    return Traffic(peers, moved, random.poisson(moved / _SEGMENT * loss), 1 + random.poisson(0.5, len(peers)))


def _together(parts: list[Traffic]) -> Traffic:
    return Traffic(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _times(seconds: float) -> F64:
    return np.arange(1, int(DAY / seconds) + 1, dtype=np.float64) * seconds


def daily_rhythm(random: np.random.Generator, seconds: float, scale: float) -> Trace:
    """200,000 peers with heavy tails, in sessions, with a day's rhythm in three time zones."""
    peers = Peers(random, int(200_000 * scale), duty=0.05)
    for now in _times(seconds):
        yield peers.traffic(now, seconds)


def web_server(random: np.random.Generator, seconds: float, scale: float) -> Trace:
    """1,000 connections a second, each of one answer, from 200,000 clients of which some come often."""
    count = int(200_000 * scale)
    often = np.cumsum(1 / np.arange(1, count + 1) ** 0.9)
    loss = np.minimum(1e-3 * random.lognormal(0, 1.5, count), 0.2)
    for now in _times(seconds):
        connections = random.poisson(1000 * scale * seconds * (1 + 0.6 * np.cos(2 * np.pi * now / DAY)))
        clients = np.minimum(np.searchsorted(often, random.random(connections) * often[-1]), count - 1)
        answers = np.minimum(2e3 * (1 + random.pareto(1.2, connections)), 1e9)
        peers, of = np.unique(clients, return_inverse=True)
        moved = np.bincount(of, answers).astype(np.int64)
        yield _traffic(random, peers, moved, loss[peers])._replace(flows=np.bincount(of))


def port_scan(random: np.random.Generator, seconds: float, scale: float) -> Trace:
    """10,000 peers, and three times for an hour a scan that tries 20,000 new targets a minute, once or twice each."""
    peers = Peers(random, int(10_000 * scale), duty=0.2)
    tries = int(20_000 * scale * seconds / 60)
    first = 1_000_000
    for now in _times(seconds):
        parts = [peers.traffic(now, seconds)]
        if any(hour * HOUR <= now < (hour + 1) * HOUR for hour in (3, 10, 17)):
            targets = np.arange(first, first + tries)
            first += tries
            nothing = np.zeros(tries, np.int64)
            parts.append(Traffic(targets, nothing, random.integers(0, 3, tries), nothing + 1))
        yield _together(parts)


def attack(random: np.random.Generator, seconds: float, scale: float) -> Trace:
    """10,000 peers, and twice a flood from 100,000 sources, two hours and one: each sends about 5 kB a minute."""
    peers = Peers(random, int(10_000 * scale), duty=0.2)
    sources = np.arange(1_000_000, 1_000_000 + int(100_000 * scale))
    for now in _times(seconds):
        parts = [peers.traffic(now, seconds)]
        if 6 * HOUR <= now < 8 * HOUR or 20 * HOUR <= now < 21 * HOUR:
            active = sources[random.random(len(sources)) < 0.6]
            moved = (random.lognormal(8.5, 0.5, len(active)) * seconds / 60).astype(np.int64)
            parts.append(_traffic(random, active, moved, np.full(len(active), 0.01)))
        yield _together(parts)


def night_batch(random: np.random.Generator, seconds: float, scale: float) -> Trace:
    """20,000 peers, and for ninety minutes a job that moves 5 MB a second with each of 60 others."""
    peers = Peers(random, int(20_000 * scale), duty=0.1)
    workers = np.arange(1_000_000, 1_000_060)
    for now in _times(seconds):
        parts = [peers.traffic(now, seconds)]
        if 2 * HOUR <= now < 3.5 * HOUR:
            moved = (5e6 * seconds * random.lognormal(-0.1, 0.45, len(workers))).astype(np.int64)
            parts.append(_traffic(random, workers, moved, np.full(len(workers), 1e-4)))
        yield _together(parts)


def turnover(random: np.random.Generator, seconds: float, scale: float) -> Trace:
    """8,000 peers that are all replaced by others every hour."""
    count = int(8_000 * scale)
    hour, peers = 0, Peers(random, count, duty=0.3)
    for now in _times(seconds):
        if now // HOUR != hour:
            hour += 1
            peers = Peers(random, count, duty=0.3, first=hour * count)
        yield peers.traffic(now, seconds)


TRACES: Final[Mapping[str, MakeTrace]] = {
    "daily rhythm": daily_rhythm,
    "web server": web_server,
    "port scan": port_scan,
    "attack": attack,
    "night batch": night_batch,
    "turnover": turnover,
}
