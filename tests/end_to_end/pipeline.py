"""The agent inside the test, tick by tick, so that what it says can be compared with what a server gives back."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ss_pusher.app.build import build_agent
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.model import Family, HistogramBlock, Snapshot
from tests.servers import Labels, labels
from tests.waiting import wait_for

PATIENCE = 20.0


@contextmanager
def ticking(text: str) -> Iterator[Callable[[], Snapshot]]:
    """The agent of a configuration; each call is a tick that every endpoint has accepted."""
    config = parse(text.encode(), "config.yml", directory=Path()).config
    clock = Clock()
    agent = build_agent(config, lambda telemetry: make_endpoints(config, clock, telemetry, stale_on_exit=True), clock)

    def tick() -> Snapshot:
        snapshot = agent.pipeline.tick(max(int(time.time() * 1000), agent.pipeline.previous_ms + 2))
        agent.push(snapshot, agent.endpoints)
        for endpoint in agent.endpoints:
            assert endpoint.flush(time.monotonic() + PATIENCE), endpoint.name
        return snapshot

    for endpoint in agent.endpoints:
        endpoint.start()
    try:
        yield tick
    finally:
        for endpoint in agent.endpoints:
            endpoint.finish(agent.pipeline.previous_ms + 1, time.monotonic() + PATIENCE)
        agent.close()


def tick_until(tick: Callable[[], Snapshot], condition: Callable[[Snapshot], bool], what: str) -> Snapshot:
    """Tick until a snapshot is as it should be: the kernel announces the end of a connection a moment later."""

    def reached() -> Snapshot | None:
        snapshot = tick()
        return snapshot if condition(snapshot) else None

    snapshot = wait_for(reached, what, PATIENCE)
    assert snapshot
    return snapshot


def said(snapshot: Snapshot, external: Mapping[str, str]) -> dict[Labels, float]:
    """Every series of a snapshot with its value, written out one by one."""
    samples: dict[Labels, float] = {}
    for block in snapshot.blocks:
        for family, row in zip(block.families, block.values, strict=True):
            for pairs, value in zip(block.labels, row, strict=True):
                if not np.isnan(value):
                    samples[labels(family.name, **{**external, **dict(pairs)})] = float(value)
    for histogram in snapshot.histograms:
        samples |= _classic(histogram, external)
    return samples


def families(snapshot: Snapshot) -> dict[str, Family]:
    """Every family of which the snapshot says something, by its name."""
    found = [
        family
        for block in snapshot.blocks
        for family, row in zip(block.families, block.values, strict=True)
        if not np.isnan(row).all()
    ]
    return {family.name: family for family in [*found, *(histogram.family for histogram in snapshot.histograms)]}


def plain(series: Mapping[Labels, float]) -> dict[Labels, float]:
    """The same with the bounds of buckets as numbers: 1e+06 and 1000000.0 are one."""
    return {tuple((k, repr(float(v)) if k == "le" else v) for k, v in key): value for key, value in series.items()}


def _classic(histogram: HistogramBlock, external: Mapping[str, str]) -> Iterator[tuple[Labels, float]]:
    name = histogram.family.name
    for pairs, counts, total in zip(histogram.labels, histogram.counts, histogram.sums, strict=True):
        below = 0
        common = {**external, **dict(pairs)}
        for bound, count in zip((*histogram.bounds, float("inf")), counts.tolist(), strict=True):
            below += count
            yield labels(f"{name}_bucket", le=str(bound), **common), below
        yield labels(f"{name}_sum", **common), float(total)
        yield labels(f"{name}_count", **common), below
