"""Measurements as a part of a Markdown document."""

import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench.measure import Cost, Costs
from bench.readers import FLOOR, READERS, SS

BEGIN: Final = "<!-- make bench writes from here -->"
END: Final = "<!-- to here -->"
_MEBIBYTE: Final = 1 << 20
_COLUMNS: Final = ("", "CPU a socket", "wall a socket", "peak memory", "CPU ÷ floor", "wall ÷ `ss`")


def markdown(results: Mapping[int, Costs], rounds: int) -> str:
    """All results: one table for each number of sockets."""
    tables = [line for item in results.items() for line in _table(*item)]
    return "\n".join([*introduction(f"the best of {rounds} rounds, in which the readers take turns."), *tables])


def write(document: Path, results: str, begin: str = BEGIN, end: str = END) -> None:
    """Put the results between two markers of the document, which are added at its end if it has none."""
    text = document.read_text(encoding="utf-8") if document.exists() else ""
    if begin not in text:
        text += f"\n{begin}\n{end}\n"
    before, rest = text.split(begin, 1)
    _, after = rest.split(end, 1)
    document.write_text(f"{before}{begin}\n\n{results}\n{end}{after}", encoding="utf-8")


def introduction(how: str) -> Iterator[str]:
    """How and where it was measured."""
    ss = subprocess.run(["ss", "-V"], check=True, capture_output=True, text=True).stdout.strip()
    yield f"Made by `make bench`: {how}"
    yield (
        f"Machine: {_processor()}; Linux {platform.release()}, Python {platform.python_version()}, "
        f"numpy {version('numpy')}, pyroute2 {version('pyroute2')}, {ss}."
    )
    yield ""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} processors, {models[0]}" if models else platform.machine()


def _table(sockets: int, costs: Costs) -> Iterator[str]:
    yield f"### {sockets:,} sockets"
    yield ""
    yield row(*_COLUMNS)
    yield row("---", *["---:"] * (len(_COLUMNS) - 1))
    for reader in READERS:
        if reader.name in costs:
            yield row(reader.name, *_cells(costs[reader.name], costs, sockets))
        else:
            yield row(reader.name, f"not measured above {reader.most:,}: takes too long", *[""] * (len(_COLUMNS) - 2))
    yield ""


def _cells(cost: Cost, costs: Costs, sockets: int) -> Iterator[str]:
    yield f"{cost.cpu / sockets * 1e6:.2f} µs"
    yield f"{cost.wall / sockets * 1e6:.2f} µs"
    yield f"{cost.memory / _MEBIBYTE:.0f} MiB"
    yield f"{cost.cpu / costs[FLOOR.name].cpu:.2f}"
    yield f"{cost.wall / costs[SS.name].wall:.2f}"


def row(*cells: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"
