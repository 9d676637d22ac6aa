"""What a configuration and this host's kernel make of the metrics and the rules."""

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from ss_pusher import metrics
from ss_pusher.app.pipeline import Plan
from ss_pusher.config import Conditions, Config, load
from ss_pusher.config import Rule as RuleSection
from ss_pusher.ledger import NEEDS
from ss_pusher.metrics import host, ss_exporter
from ss_pusher.model import AddressFamily, Direction, FlowHistogram, LedgerField, Preset, Rule, TcpState
from ss_pusher.netlink.tcp_info import FIELDS, Field
from ss_pusher.select.rankings import ranking

logger = logging.getLogger(__name__)

PRESETS: Final = {preset.name.lower(): preset for preset in Preset}

_ENUMERATED: Final = {"directions": Direction, "families": AddressFamily, "states": TcpState}

METRIC_NAMES: Final = tuple(sorted(family.name for family, _ in metrics.families()))
"""Every name that `metrics.include`, `metrics.exclude` and `limit.top` may hold."""


def read_config(path: Path, *, check_files: bool = False) -> Config:
    """The configuration in `path`; what is odd about it is logged. Raises ConfigError."""
    loaded = load(path, metric_names=METRIC_NAMES, check_files=check_files)
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    return loaded.config


def make_plan(config: Config, known: Collection[str]) -> Plan:
    """Which metrics to collect and which of them to export; `known` are the fields that this kernel has.

    A metric whose field the kernel does not have is left out: nothing is exported for what nobody counts.
    """
    exported = metrics.chosen(PRESETS[config.metrics.preset], config.metrics.include, config.metrics.exclude)
    needed = {name for top in config.limit.top for name in ranking(top.by).needs}
    countable = {*known, *LedgerField}
    counters = [c for c in metrics.COUNTERS if {c.field, c.minus or c.field} <= countable]
    gauges = [g for g in metrics.GAUGES if {g.field, g.unless or g.field} <= countable]
    countless = [c for c in metrics.COUNTERS if c not in counters]
    missing = {c.family.name for c in countless} | {c.host.name for c in countless if c.host}
    missing |= {g.family.name for g in metrics.GAUGES if g not in gauges}
    wanted = (exported | needed) - missing
    return Plan(
        by=group_labels(config),
        counters=tuple(c for c in counters if c.family.name in wanted or (c.host and c.host.name in exported)),
        gauges=tuple(g for g in gauges if g.family.name in wanted),
        exported=exported - missing,
        histograms=tuple(h for h in _histograms(config) if h.family.name in exported),
        max_series=config.limit.max_series,
        missing=tuple(sorted((exported | needed) & missing)),
        flow_folding=_folding(config),
    )


def group_labels(config: Config) -> tuple[str, ...]:
    """The labels that tell groups apart: those of `group.by`, but where a preset has its own."""
    folding = _folding(config)
    return ss_exporter.FOLDINGS[folding] if folding else config.group.by


def _folding(config: Config) -> str:
    return config.metrics.ss_exporter.flow if config.metrics.preset == "ss_exporter" else ""


def _histograms(config: Config) -> tuple[FlowHistogram, ...]:
    bounds = config.metrics.ss_exporter.rtt_buckets_ms
    old = FlowHistogram(ss_exporter.RTT, "rtt", bounds, ss_exporter.MICROSECONDS_A_MILLISECOND)
    return host.RTT_HISTOGRAM, old


def fields(plan: Plan) -> tuple[Field, ...]:
    """The fields to read of every socket, and no others."""
    return tuple(FIELDS[name] for name in sorted(set(_names(plan)) - {"", *LedgerField}))


def _names(plan: Plan) -> Iterator[str]:
    yield from NEEDS
    yield from (histogram.field for histogram in plan.histograms)
    for counter in plan.counters:
        yield from (counter.field, counter.minus)
    for gauge in plan.gauges:
        yield from (gauge.field, gauge.unless)


def rules(config: Config) -> tuple[Rule, ...]:
    """The configured rules, as the filters take them."""
    return tuple(_rule(section) for section in config.filter)


def _rule(section: RuleSection) -> Rule:
    given: dict[str, Any] = {name: getattr(section.conditions, name) for name in Conditions.__struct_fields__}
    given |= {name: tuple(kind[text.upper()] for text in given[name]) for name, kind in _ENUMERATED.items()}
    return Rule(keeps=section.keeps, **given)
