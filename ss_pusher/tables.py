"""Snapshots and arrivals as tables for people."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from ss_pusher.model import OTHER, Labels

_MILLISECONDS: Final = 1000.0
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP: Final = 1024.0
_UNBOUNDED: Final = 10_000  # columns of a terminal


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to whoever runs the command; rich would end the process with code 1."""
        raise  # noqa: PLE0704 - rich calls this where it has caught the BrokenPipeError


def screen() -> Console:
    """Stdout, where names of processes are only names: rich would take [red] in one for an order."""
    return _Screen(markup=False, highlight=False, emoji=False)


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


class _Column(NamedTuple):
    heading: str
    family: str
    cell: Callable[[float], str]


_COLUMNS: Final = (
    _Column("flows", "ss_flow_sockets", "{:.0f}".format),
    _Column("rtt ms", "ss_flow_rtt_seconds", lambda seconds: f"{seconds * _MILLISECONDS:.3f}"),
    _Column("sent", "ss_flow_sent_bytes_total", size),
    _Column("received", "ss_flow_received_bytes_total", size),
    _Column("retrans", "ss_flow_retransmitted_segments_total", "{:.0f}".format),
    _Column("cwnd", "ss_flow_cwnd_segments", "{:.0f}".format),
)
"""What of a group is shown. The last of them make way for long labels."""
_ALWAYS: Final = 4

_HEADINGS: Final = {"direction": "dir"}
"""Of the labels that are longer than their values; the others are called what they are."""


def show(console: Console, title: str, table: Table) -> None:
    """Print a table under its title. It is never cut: what is wider than the terminal is wrapped by the terminal."""
    table.width = _width(console, table)
    console.print()
    console.print(title, style="bold", soft_wrap=True)
    console.print(table, crop=False, soft_wrap=True)


def groups(console: Console, series: Mapping[Labels, Mapping[str, float]], by: Sequence[str], most: int = 0) -> Table:
    """A row for each group, or for the `most` with the most bytes, which come first: labels, then values by family.

    Labels that no group has are left out, and values that do not fit the console beside the labels.
    """
    ranked = sorted(series.items(), key=lambda item: (-_bytes(item[1]), item[0]))[: most or None]
    named = [labels for labels, _ in ranked if OTHER not in dict(labels).values()]
    there = {label for labels in named or series for label, _ in labels}
    shown = [label for label in by if label in there]
    for count in range(len(_COLUMNS), _ALWAYS, -1):
        table = _groups(ranked, shown, _COLUMNS[:count])
        if _width(console, table) <= console.width:
            return table
    return _groups(ranked, shown, _COLUMNS[:_ALWAYS])


def facts(rows: Iterable[Sequence[str]], headings: Sequence[str] = ()) -> Table:
    """What, and how much of it, once or under each heading but the first."""
    rows = list(rows)
    table = Table(box=None, pad_edge=False, show_header=bool(headings))
    for number in range(max(map(len, rows), default=0)):
        heading = headings[number].replace(" ", "\n") if headings else ""
        table.add_column(heading, justify="right" if number else "left", vertical="bottom", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _groups(
    ranked: Iterable[tuple[Labels, Mapping[str, float]]], by: Sequence[str], columns: Sequence[_Column]
) -> Table:
    table = Table(box=None, pad_edge=False)
    for label in by:
        table.add_column(_HEADINGS.get(label, label.replace("_", "\n")), vertical="bottom", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", vertical="bottom", no_wrap=True)
    for labels, values in ranked:
        named = dict(labels)
        cells = (column.cell(values[column.family]) if column.family in values else "-" for column in columns)
        table.add_row(*(_printable(named.get(label, "")) for label in by), *cells)
    return table


def _printable(text: str) -> str:
    """The text, without what a terminal would obey."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _width(console: Console, table: Table) -> int:
    return console.measure(table, options=console.options.update(max_width=_UNBOUNDED)).maximum


def _bytes(values: Mapping[str, float]) -> float:
    return values.get("ss_flow_sent_bytes_total", 0.0) + values.get("ss_flow_received_bytes_total", 0.0)
