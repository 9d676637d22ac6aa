"""Snapshots and arrivals as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

_COLUMNS: Final = (
    ("flows", "ss_flow_sockets", "{:.0f}"),
    ("rtt ms", "ss_flow_rtt_seconds", "{:.3f}"),
    ("sent", "ss_flow_sent_bytes_total", "size"),
    ("received", "ss_flow_received_bytes_total", "size"),
    ("retransmitted segments", "ss_flow_retransmitted_segments_total", "{:.0f}"),
    ("cwnd", "ss_flow_cwnd_segments", "{:.0f}"),
)
"""What of a group is shown: heading, family, format."""

_MILLISECONDS: Final = 1000.0
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP: Final = 1024.0


def show(console: Console, table: Table) -> None:
    """Print a table, with a line before it."""
    console.print()
    console.print(table)


def groups(title: str, series: Mapping[tuple[tuple[str, str], ...], Mapping[str, float]], by: Sequence[str]) -> Table:
    """A row for each group: its labels, then its values by family name; the most bytes come first."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for label in by:
        table.add_column(label, overflow="fold")
    for heading, _, _ in _COLUMNS:
        table.add_column(heading, justify="right")
    for labels, values in sorted(series.items(), key=lambda item: (-_bytes(item[1]), item[0])):
        named = dict(labels)
        cells = (_cell(values.get(family), form, family) for _, family, form in _COLUMNS)
        table.add_row(*(named.get(label, "") for label in by), *cells)
    return table


def facts(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    """Two columns: what, and how much."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for what, how_much in rows:
        table.add_row(what, how_much)
    return table


def size(count: float) -> str:
    """Bytes as people read them: 1536 is `1.5 KiB`."""
    for unit in _UNITS:
        if abs(count) < _STEP or unit == _UNITS[-1]:
            break
        count /= _STEP
    return f"{count:.0f} {unit}" if unit == _UNITS[0] else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """Milliseconds, as far as they mean something."""
    return f"{seconds * _MILLISECONDS:.2f} ms"


def _bytes(values: Mapping[str, float]) -> float:
    return values.get("ss_flow_sent_bytes_total", 0.0) + values.get("ss_flow_received_bytes_total", 0.0)


def _cell(value: float | None, form: str, family: str) -> str:
    if value is None:
        return "-"
    if form == "size":
        return size(value)
    return form.format(value * _MILLISECONDS if family.endswith("rtt_seconds") else value)
