"""Every metric of flows and of the host: one file a theme, one line in the list here."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from ss_pusher.metrics import buffers, congestion, flows, host, limits, payload, recovery, rtt, segments, ss_exporter
from ss_pusher.model import Family, FlowCounter, FlowGauge, Preset

COUNTERS: Final[tuple[FlowCounter, ...]] = (
    *payload.COUNTERS,
    *segments.COUNTERS,
    *flows.COUNTERS,
    *limits.COUNTERS,
    *congestion.COUNTERS,
    *recovery.COUNTERS,
    *ss_exporter.COUNTERS,
)
GAUGES: Final[tuple[FlowGauge, ...]] = (
    *rtt.GAUGES,
    *congestion.GAUGES,
    *recovery.GAUGES,
    *buffers.GAUGES,
    *ss_exporter.GAUGES,
)
HOST: Final[tuple[Family, ...]] = (
    host.SOCKETS,
    *(counter.host for counter in COUNTERS if counter.host is not None),
    host.RTT,
    host.CLOSED_FLOW_BYTES,
)


def families() -> Iterator[tuple[Family, Preset]]:
    """Every family, and the smallest preset that has it. What is said of the whole host is in each of ours."""
    yield from ((family, Preset.ESSENTIAL) for family in HOST)
    yield host.FLOW_SOCKETS, Preset.ESSENTIAL
    yield from ((gauge.family, gauge.preset) for gauge in GAUGES)
    yield from ((counter.family, counter.preset) for counter in COUNTERS)
    yield from ((family, Preset.SS_EXPORTER) for family in (ss_exporter.FLOWS, ss_exporter.RTT))


def chosen(preset: Preset, include: Iterable[str], exclude: Iterable[str]) -> frozenset[str]:
    """The names of the families in `preset`, with those that match `include`, without those that match `exclude`."""
    names = {family.name for family, smallest in families() if smallest <= preset and _related(smallest, preset)}
    names |= {family.name for family, _ in families() if any(fnmatchcase(family.name, pattern) for pattern in include)}
    return frozenset(name for name in names if not any(fnmatchcase(name, pattern) for pattern in exclude))


def _related(one: Preset, other: Preset) -> bool:
    return (one is Preset.SS_EXPORTER) is (other is Preset.SS_EXPORTER)
