"""Compares ways to bound the number of series on made-up days of traffic; writes a table and a picture."""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bench.policies import MAX_SERIES, RETRANSMITS, THROUGHPUT
from bench.replay import EVERY_FLOW, FIRST_COME, OURS, PLAIN_TOP, Result, replay
from bench.report import row, write
from bench.traces import LAYOUT, TRACES, Traffic
from ss_pusher.select import Prefixes, Selection

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "cardinality.md"
PICTURE: Final = "cardinality.svg"

_COLUMNS: Final = ("trace", "policy", "series", "at most", "new an hour", "bytes", "retransmits", "rank error")
_COLOURS: Final = {EVERY_FLOW: "#999999", PLAIN_TOP: "#d95f02", FIRST_COME: "#7570b3", OURS: "#1b9e77"}
_GROUPS: Final = 100_000

Results: TypeAlias = Mapping[str, Mapping[str, Result]]


def main(argv: Sequence[str]) -> int:
    """Replay, print, and write."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--traces", default=",".join(TRACES), help="which, as a list (all)")
    parser.add_argument("--seed", type=int, default=1, help="the same gives the same traffic (%(default)s)")
    parser.add_argument("--tick", type=float, default=15.0, help="seconds from tick to tick (%(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="the share of the full number of peers (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    options = parser.parse_args(argv)
    costs = {"groups alone": cost(None), "and their networks": cost(Prefixes())}
    names = options.traces.split(",")
    with ProcessPoolExecutor() as pool:
        jobs = {name: pool.submit(replay, name, options.seed, options.tick, options.scale) for name in names}
        results = {name: job.result() for name, job in jobs.items()}
    text = "\n".join(
        [*_introduction(options.seed, options.tick), *_table(results), *_verdicts(results), *_costs(costs)]
    )
    print(text)
    write(options.output, text)
    _draw(results, options.output.parent / PICTURE)
    return 0


def cost(prefixes: Prefixes | None) -> float:
    """Milliseconds of CPU that one choice takes among 100,000 groups of which half are new; median of 20."""
    random = np.random.default_rng(1)
    selection = Selection(LAYOUT, [("throughput", THROUGHPUT), ("retransmits", RETRANSMITS)], prefixes=prefixes)
    times = []
    for tick in range(20):
        peers = np.concatenate([np.arange(_GROUPS // 2), _GROUPS * (tick + 1) + np.arange(_GROUPS // 2)])
        moved = (1e3 * (1 + random.pareto(1.1, _GROUPS))).astype(np.int64)
        groups = Traffic(peers, moved, random.poisson(0.5, _GROUPS), np.ones(_GROUPS, np.int64)).groups()
        begun = time.process_time()
        selection.choose(groups, 15.0, MAX_SERIES)
        times.append(time.process_time() - begun)
    return 1e3 * median(times)


def _introduction(seed: int, tick: float) -> Iterator[str]:
    yield f"Made by `make bench`: 24 hours of each trace, a tick every {tick:g} s, seed {seed}."
    yield ""
    yield f"![New series an hour against the share of bytes covered]({PICTURE})"
    yield ""


def _table(results: Results) -> Iterator[str]:
    yield row(*_COLUMNS)
    yield row("---", "---", *["---:"] * (len(_COLUMNS) - 2))
    for trace, by_policy in results.items():
        for policy, r in by_policy.items():
            counts = (f"{r.series:,.0f}", f"{r.most_series:,}", f"{r.new_per_hour:,.0f}")
            yield row(trace, policy, *counts, f"{r.bytes:.3f}", f"{r.retransmits:.3f}", f"{r.rank_error:,.1f}")
    yield ""


def _verdicts(results: Results) -> Iterator[str]:
    yield "Ours, compared:"
    yield ""
    yield row("trace", "new series ÷ plain", "bytes ÷ plain", "retransmits ÷ plain", "bytes ÷ first come")
    yield row("---", *["---:"] * 4)
    for trace, by_policy in results.items():
        ours, plain, first = by_policy[OURS], by_policy[PLAIN_TOP], by_policy[FIRST_COME]
        yield row(
            trace,
            f"{ours.new_per_hour / plain.new_per_hour:.3f}",
            f"{ours.bytes / plain.bytes:.3f}",
            f"{ours.retransmits / plain.retransmits:.3f}",
            f"{ours.bytes / first.bytes:.1f}",
        )
    yield ""


def _costs(costs: Mapping[str, float]) -> Iterator[str]:
    measured = ", ".join(f"{name} {milliseconds:.0f} ms" for name, milliseconds in costs.items())
    yield f"One choice among {_GROUPS:,} groups, half of them new, costs in CPU time: {measured}."


def _draw(results: Results, path: Path) -> None:
    """One field a trace: new series an hour to the right, coverage upwards; the upper left is where to be."""
    mpl.rcParams |= {"svg.hashsalt": "the same picture for the same results", "svg.fonttype": "none"}
    columns = min(3, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.9 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for field, (trace, by_policy) in zip(axes.flat, results.items(), strict=False):
        for policy, r in by_policy.items():
            field.scatter(r.new_per_hour, r.bytes, s=60, color=_COLOURS[policy], label=policy)
        field.set(title=trace, xscale="log", ylim=(-0.05, 1.05))
        field.grid(visible=True, alpha=0.3)
        field.set_axisbelow(True)
    figure.supxlabel("new series an hour")
    figure.supylabel("share of bytes in exported groups")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
