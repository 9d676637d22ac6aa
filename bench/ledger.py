"""Measures what the ledger costs a socket and tick, on made-up sockets, and writes it into the documentation."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from bench import report
from bench.collector import DOCUMENT
from ss_pusher.app.collector import kernel_fields
from ss_pusher.app.plan import fields, make_plan
from ss_pusher.config import parse
from ss_pusher.ledger import Ledger
from ss_pusher.model import AddressFamily, Flows, Rows, Sockets, TcpState

BEGIN: Final = "<!-- the cost of the ledger, by make bench, from here -->"
END: Final = "<!-- to here: the ledger -->"
GOAL: Final = 0.3
_TICKS: Final = 10
_SEED: Final = 1
_PLAN: Final = make_plan(parse(b"{}", "benchmark", directory=Path()).config, kernel_fields())
_WORDS: Final = 6  # of the key of the default labels
_STEP: Final = 5


class Case(NamedTuple):
    """What happens to the sockets from tick to tick."""

    name: str
    moving: bool  # every counter of every socket advances
    ended: float  # the share that ends and is replaced by as many new ones


CASES: Final = (
    Case("nothing moves", moving=False, ended=0),
    Case("every counter moves", moving=True, ended=0),
    Case("1% end and as many are new, nothing moves", moving=False, ended=0.01),
    Case("1% end and as many are new, every counter moves", moving=True, ended=0.01),
)


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="bench.ledger", description=__doc__)
    parser.add_argument("--sockets", default="100000", help="how many; of a list the most (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many, of which the best counts (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    options = parser.parse_args(argv)
    sockets = max(int(number) for number in options.sockets.split(","))
    results = "\n".join(_table(sockets, options.rounds))
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _table(sockets: int, rounds: int) -> Iterator[str]:
    how = f"the CPU time of a tick with {sockets:,} open sockets, the mean of {_TICKS} ticks, best of {rounds} rounds."
    yield from report.introduction(how)
    yield report.row("from tick to tick", "a socket", "goal: at most")
    yield report.row("---", "---:", "---:")
    for case in CASES:
        spent = min(_measure(case, sockets) for _ in range(rounds))
        yield report.row(case.name, f"{spent / sockets * 1e6:.3f} µs", f"{GOAL} µs")
    yield ""


def _measure(case: Case, count: int) -> float:
    """Seconds of processor for one tick."""
    random = np.random.default_rng(_SEED)
    changes = int(count * case.ended)
    pool = _sockets(random, count + _TICKS * changes)
    rows = random.permutation(count)  # a dump is in the order of the kernel's hash table, not of the cookies
    ledger = Ledger(name for counter in _PLAN.counters for name in (counter.field, counter.minus) if name)
    ledger.advance(_flows(pool, rows, 0), _flows(pool, rows[:0], 0), complete=True)
    spent = 0.0
    for tick in range(1, _TICKS + 1):
        moved = tick * _STEP if case.moving else 0
        leaving = random.choice(count, changes, replace=False)
        ended = _flows(pool, rows[leaving], moved)
        new = count + np.arange((tick - 1) * changes, tick * changes)
        rows = np.insert(np.delete(rows, leaving), random.integers(0, count - changes, changes), new)
        opened = _flows(pool, rows, moved)
        began = time.process_time()
        ledger.advance(opened, ended, complete=True)
        spent += time.process_time() - began
    return spent / _TICKS


def _flows(pool: Sockets, rows: Rows, moved: int) -> Flows:
    chosen = pool.take(rows)
    info = {name: np.add(column, moved, dtype=column.dtype) for name, column in chosen.info.items()}
    keys = np.zeros((_WORDS, len(rows)), np.uint64) + chosen.cookie % np.uint64(100)
    return Flows(replace(chosen, info=info), keys.T, np.ones(len(rows), np.bool_))


def _sockets(random: np.random.Generator, count: int) -> Sockets:
    none = Sockets.none({field.name: field.dtype for field in fields(_PLAN)})
    return replace(
        none,
        cookie=np.arange(1, count + 1, dtype=np.uint64),
        family=np.full(count, AddressFamily.IPV4, np.uint8),
        state=np.full(count, TcpState.ESTABLISHED, np.uint8),
        local=random.integers(0, 1 << 32, (count, 2), np.uint64),
        remote=random.integers(0, 1 << 32, (count, 2), np.uint64),
        local_port=random.integers(1, 1 << 16, count, np.uint16),
        remote_port=random.integers(1, 1 << 16, count, np.uint16),
        interface=np.zeros(count, np.uint32),
        uid=np.zeros(count, np.uint32),
        inode=np.zeros(count, np.uint32),
        cgroup=np.zeros(count, np.uint64),
        congestion=np.zeros(count, "S16"),
        info={name: random.integers(0, 100, count).astype(column.dtype) for name, column in none.info.items()},
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
