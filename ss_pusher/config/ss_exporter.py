"""A configuration of prometheus_ss_exporter, in the spelling of 2.x or of 3.x, as one of ours."""

import os
from collections.abc import Iterator
from glob import escape
from itertools import product
from pathlib import Path, PurePath
from textwrap import wrap
from typing import Final, NamedTuple, TypeAlias

import yaml

from ss_pusher.config.convert import Walk, convert
from ss_pusher.config.describe import flow
from ss_pusher.config.document import compose, has_key
from ss_pusher.config.file import described, read
from ss_pusher.config.network import Network
from ss_pusher.config.ss_exporter_schema import ROOT, Document, LabelFolding, Latency, Logic, Metrics, Ports, Selection
from ss_pusher.errors import ConfigError

Condition: TypeAlias = tuple[str, list[int | str]]
Section: TypeAlias = dict[str, object]

COMMAND_BYTES: Final = 15
"""The kernel keeps no more of a process's name: TASK_COMM_LEN less 1, include/linux/sched.h."""
_WIDTH: Final = 100
_LISTEN: Final = ":${PORT:-8020}"


class Converted(NamedTuple):
    """Our configuration as text, and what of theirs was left out, each with its place in the file."""

    text: str
    ignored: tuple[str, ...]


def convert_file(path: Path) -> Converted:
    """The configuration in a file as one of ours. Raises ConfigError."""
    data, _ = read(path)
    return converted(data, str(path))


def converted(data: bytes, name: str) -> Converted:
    """The same for the bytes of a file called `name`.

    Raises:
        ConfigError: it is none of prometheus_ss_exporter, with everything that is wrong in it.
    """
    root = compose(data, name)
    if not has_key(root, ROOT):
        raise ConfigError([f"{name}: is no configuration of prometheus_ss_exporter: it has no key {ROOT}"])
    _drop_empty(root)
    walk = Walk(name, Path(name).parent, os.environ)
    document = convert(root, Document, walk)
    unknown = [remark for remark in walk.problems if "unknown key" in remark.text]
    wrong = [remark for remark in walk.problems if remark not in unknown]
    if wrong or document is None:
        raise ConfigError([described(name, remark) for remark in wrong])
    old_spelling = any(steps and str(steps[-1]) in _ONLY_2X for steps in walk.lines)
    text = "\n".join(_text(document.logic, PurePath(name).name, old=old_spelling)) + "\n"
    return Converted(text, tuple(described(name, remark) for remark in unknown))


_ONLY_2X: Final = frozenset(
    {"latency", "bucket_bounds", "delivery_rate", "data_segs_in", "data_segs_out", "label_folding", "portranges"}
)


def _drop_empty(node: yaml.Node) -> None:
    """Remove keys without a value: their examples are full of them, and they say nothing."""
    if isinstance(node, yaml.MappingNode):
        node.value = [(key, value) for key, value in node.value if value.tag != "tag:yaml.org,2002:null"]
        for _, value in node.value:
            _drop_empty(value)


# ---- what it means --------------------------------------------------------------------------------------------------


def _excluded(metrics: Metrics) -> Iterator[str]:
    """The metrics that are switched off."""
    gauges, counters = metrics.gauges, metrics.counters
    histogram = metrics.histograms.latency or metrics.histograms.rtt
    on = {
        "tcp_rtt": gauges.active and gauges.rtt.active,
        "tcp_cwnd": gauges.active and gauges.cwnd.active,
        "tcp_delivery_rate": gauges.active and gauges.delivery_rate.active and gauges.deliveryRate.active,
        "tcp_data_segs_in": counters.active and counters.data_segs_in.active and counters.dataSegsIn.active,
        "tcp_data_segs_out": counters.active and counters.data_segs_out.active and counters.dataSegsOut.active,
        "tcp_rtt_hist_ms": metrics.histograms.active and histogram is not None and histogram.active,
    }
    return (name for name, active in on.items() if not active)


def _preset(logic: Logic) -> Section:
    """What stands below `metrics`."""
    compression = logic.compression
    settings: Section = {"flow": compression.labelFolding or (compression.label_folding or LabelFolding()).origin}
    histogram = logic.metrics.histograms.latency or logic.metrics.histograms.rtt or Latency()
    if bounds := sorted({*histogram.bucket_bounds, *histogram.bucketBounds}):
        settings["rtt_buckets_ms"] = bounds
    section: Section = {"preset": "ss_exporter", "ss_exporter": settings}
    if excluded := list(_excluded(logic.metrics)):
        section["exclude"] = excluded
    return section


def _parts(selection: Selection) -> Iterator[list[Condition]]:
    """The conditions of each part of the selection that names something; any of a part's conditions fulfils it."""
    process, peering = selection.process, selection.peering
    networks = dict.fromkeys(map(_shortest, (*peering.addresses, *peering.networks)))
    commands = dict.fromkeys(map(_command, process.cmds))
    parts: tuple[list[Condition], ...] = (
        [("pids", [*process.pids]), ("commands", [*commands])],
        [("remote_networks", [*networks]), ("hosts", [*peering.hosts])],
        [("local_ports", [_range(ports) for ports in (*peering.portranges, *selection.portRanges)])],
    )
    for part in parts:
        if given := [condition for condition in part if condition[1]]:
            yield given


def _rules(selection: Selection, *, old: bool) -> list[Section]:
    """2.x kept what one part of the selection fits, 3.x what every part fits."""
    parts = list(_parts(selection))
    if not parts:
        return []
    ways = [(condition,) for part in parts for condition in part] if old else product(*parts)
    keep: list[Section] = [{"keep": dict(way)} for way in ways]
    return [*keep, {"drop": {}}]


def _command(written: str) -> str:
    """The name of the process: of a command line the program, which is a name and no pattern here."""
    program = PurePath((written.split() or [written])[0]).name or written
    return escape(program.encode()[:COMMAND_BYTES].decode(errors="ignore"))


def _range(ports: Ports) -> str | int:
    lower = max(ports.lower, 1)
    return lower if lower == ports.upper else f"{lower}-{ports.upper}"


def _shortest(network: Network) -> str:
    return str(network).removesuffix("/32" if network.version == 4 else "/128")  # noqa: PLR2004 - IPv4


# ---- how it is written ----------------------------------------------------------------------------------------------


def _text(logic: Logic, name: str, *, old: bool) -> Iterator[str]:
    version = "2.x" if old else "3.x"
    rules = _rules(logic.selection, old=old)
    yield from _comment(f"Converted from {name}, a configuration of prometheus_ss_exporter {version}.")
    yield ""
    yield from _comment(
        "It is scraped as before, at the port that PORT names, and the scraper says whose the series are. To push "
        "instead, remove these two keys and add remote_write; see `ss-pusher sample-config`."
    )
    yield "external_labels: {}"
    yield f"expose: {flow({'listen_address': _LISTEN})}"
    yield ""
    yield from _comment("Connections within this host were seen. IPv6 was not: it is now, and so are short flows.")
    yield "collect: {loopback: true}"
    yield ""
    yield from _filter(rules, logic.selection, old=old)
    yield from _comment(
        "There was no limit. Now this many flows have series of their own, and the others share one with the label "
        'flow="other".'
    )
    yield "limit:"
    yield "  top: [{by: flows, count: 1000}]"
    yield ""
    yield from _comment("The names of before. Counters have their type now, and buckets are cumulative.")
    yield "metrics:"
    yield from (f"  {key}: {flow(value)}" for key, value in _preset(logic).items())


def _filter(rules: list[Section], selection: Selection, *, old: bool) -> Iterator[str]:
    if not rules:
        return
    how = "at least one part (process, peer, ports)" if old else "every part (process, peer, ports)"
    yield from _comment(f"As in {'2.x' if old else '3.x'}, {how} of the selection must fit a flow.")
    if selection.peering.portranges or selection.portRanges:
        yield from _comment(
            "Port ranges are local ports, as the example of prometheus_ss_exporter calls them. Its code compared the "
            "other end's: if you relied on that, write remote_ports."
        )
    if selection.process.pids or selection.process.cmds:
        yield from _comment(
            "pids and commands of other users' processes need CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH. A command is the "
            "name that `ps -o comm` shows."
        )
    yield "filter:"
    yield from (f"  - {key}: {flow(value)}" for rule in rules for key, value in rule.items())
    yield ""


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _WIDTH)]
