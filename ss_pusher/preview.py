"""What would be pushed, and what it costs in series and bytes. Sends nothing."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from ss_pusher import tables
from ss_pusher.app import alternatives
from ss_pusher.app.agent import Agent
from ss_pusher.app.alternatives import Alternative
from ss_pusher.app.build import build_agent
from ss_pusher.app.explain import explain as explained
from ss_pusher.app.pipeline import fixed_series
from ss_pusher.app.selecting import read_limited
from ss_pusher.clock import Clock, Timeline
from ss_pusher.config import Config
from ss_pusher.encode import delimited, text
from ss_pusher.encode.remote_write_v1 import RemoteWriteV1Encoder
from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.model import Block, Labels, Snapshot

_PATIENCE: Final = 2.0
"""Seconds of silence after which a person wants to know that something is going on."""
_NATIVE: Final = ", native histograms"


def show(path: Path | None, form: str, ticks: int, interval: float) -> None:
    """Read the sockets `ticks` times, `interval` seconds apart, and print the last snapshot.

    `form` is table, prometheus (text exposition) or json. Without a path the defaults hold.
    """
    config = read_limited(path) if path else Config()
    agent = build_agent(config, lambda _telemetry: [], Clock())
    others = alternatives.watch(agent, config) if form == "table" else []
    try:
        snapshots = list(_ticks(agent, ticks, interval))
    finally:
        agent.close()
    if form == "prometheus":
        sys.stdout.write(text.text(snapshots[-1], config.external_labels).decode())
    elif form == "json":
        json.dump(_document(snapshots[-1], config), sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _tables(tables.screen(), snapshots, config, agent, others)


def explain(path: Path | None, form: str) -> None:
    """Print which rule of the filter is applied where, and to how many sockets; as JSON where `form` says so."""
    rows = explained(read_limited(path) if path else Config())
    if form == "json":
        json.dump([row._asdict() for row in rows], sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    headings = ("", "sockets", "never read", "decided")
    facts = [(row.rule, str(row.sockets), str(row.unread), row.place) for row in rows]
    tables.show(
        tables.screen(), "The rules of the filter, and the sockets that each decides", tables.facts(facts, headings)
    )


def _ticks(agent: Agent, ticks: int, interval: float) -> Iterator[Snapshot]:
    timeline = Timeline(Clock())
    progress = ticks * interval > _PATIENCE and sys.stderr.isatty()
    for number in range(1, ticks + 1):
        if progress:
            sys.stderr.write(f"\rtick {number} of {ticks}")
            sys.stderr.flush()
        yield agent.pipeline.tick(timeline.next().time_ms)
        if number < ticks:
            time.sleep(interval)
    if progress:
        sys.stderr.write("\r\x1b[K")


def _samples(block: Block) -> Iterator[tuple[str, Labels, float]]:
    for family, values in zip(block.families, block.values, strict=True):
        for labels, value in zip(block.labels, values.tolist(), strict=True):
            if not np.isnan(value):
                yield family.name, labels, value


def _document(snapshot: Snapshot, config: Config) -> dict[str, object]:
    """The snapshot as JSON has it: every series with its labels, histograms with the counts of their buckets."""
    series = [
        {"name": name, "labels": dict(labels), "value": value}
        for block in snapshot.blocks
        for name, labels, value in _samples(block)
    ]
    histograms = [
        {
            "name": histogram.family.name,
            "labels": dict(labels),
            "bounds": list(histogram.bounds),
            "counts": counts.tolist(),
            "sum": total,
        }
        for histogram in snapshot.histograms
        for labels, counts, total in zip(histogram.labels, histogram.counts, histogram.sums.tolist(), strict=True)
    ]
    return {
        "time_ms": snapshot.time_ms,
        "external_labels": dict(config.external_labels),
        "series": series,
        "histograms": histograms,
    }


def _tables(
    console: Console, snapshots: list[Snapshot], config: Config, agent: Agent, others: list[Alternative]
) -> None:
    last = snapshots[-1]
    groups: dict[Labels, dict[str, float]] = {}
    for block in last.blocks:
        for name, labels, value in _samples(block):
            if name.startswith("ss_flow_"):
                groups.setdefault(labels, {})[name] = value
    if not any(name.startswith("ss_flow_") for name in agent.pipeline.plan.exported):
        console.print("No ss_flow_ metrics are exported; --format prometheus shows those that are.")
    elif groups:
        tables.show(console, "Groups of flows", tables.groups(console, groups, config.group.by))
    else:
        console.print(
            "No flows to show." + ("" if config.collect.loopback else " Loopback is not read (collect.loopback).")
        )
    tables.show(console, "What a push costs", tables.facts(_costs(snapshots, config)))
    _compare(console, snapshots, agent, others)
    each = ((stage, tables.duration(spent / len(snapshots))) for stage, spent in agent.stages.seconds.items())
    tables.show(console, "Time of each stage of a tick, mean", tables.facts(each))


def _compare(console: Console, snapshots: list[Snapshot], agent: Agent, others: list[Alternative]) -> None:
    """What other settings would cost; where a group has few flows, most of them cost the same."""
    plan = agent.pipeline.plan
    seconds = (snapshots[-1].time_ms - snapshots[0].time_ms) / 1000
    own = sum(block.values.size for block in snapshots[-1].blocks if block.families[0].name.startswith("ss_pusher_"))
    rows = alternatives.rows(others, plan.series_per_group, fixed_series(plan) + own)
    headings = ("", "series at most", "new an hour", "of bytes", "of retransmits", "of flows")
    title = f"Series, and the share of the host that they tell, by setting ({seconds:.0f} s seen)"
    tables.show(console, title, tables.facts(rows, headings))


def _costs(snapshots: list[Snapshot], config: Config) -> Iterator[tuple[str, str]]:
    last = snapshots[-1]
    yield "series", f"{last.series()} of {config.limit.max_series} (limit.max_series)"
    yield "samples an hour", f"{last.series() * 3600 / config.interval:.0f}"
    most = max((endpoint.queue_config.max_samples_per_send for endpoint in config.remote_write), default=5000)
    for native in sorted({False, *(endpoint.send_native_histograms for endpoint in config.remote_write)}):
        series = last.series(native=native)
        form = _NATIVE if native else ""
        if native:
            yield f"series{form}", str(series)
        for version, kind in (("1.0", RemoteWriteV1Encoder), ("2.0", RemoteWriteV2Encoder)):
            encoder = kind(config.external_labels, most, native_histograms=native)
            # The first requests also say what each series is called; those that follow are what it costs.
            requests = [encoder.encode(snapshot) for snapshot in snapshots][-1]
            sent = sum(len(request.body) for request in requests)
            yield (
                f"bytes a push, remote write {version}{form}",
                f"{tables.size(sent)} ({sent / max(series, 1):.1f} a sample)",
            )
    exposed = len(text.text(last, config.external_labels))
    yield "bytes a push, Pushgateway", f"{tables.size(exposed)} (before gzip)"
    if any(gateway.send_native_histograms for gateway in config.pushgateway):
        exposed = len(delimited.message(last, config.external_labels))
        yield f"bytes a push, Pushgateway{_NATIVE}", f"{tables.size(exposed)} (before gzip)"
