"""What a sample costs in remote write, compression included: `python -m bench.encoders`.

10,000 series of 8 labels: 500 groups of flows with 12 counters and 8 gauges each, in one request.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from bench import report
from ss_pusher.encode.remote_write_v1 import RemoteWriteV1Encoder
from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.model import F64, Block, Family, Labels, MetricType, Snapshot

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN: Final = "<!-- the cost of encoding, by make bench, from here -->"
END: Final = "<!-- to here: encoding -->"

_HEADINGS: Final = (
    "remote write",
    "the same series as before",
    "one that stays while another comes",
    "one that is new",
    "bytes a sample",
)
_GROUPS: Final = 500
_COUNTERS: Final = 12
_GAUGES: Final = 8
_SERIES: Final = _GROUPS * (_COUNTERS + _GAUGES)
_MORE_GROUPS: Final = 100
_ROUNDS: Final = 30

_EXTERNAL_LABELS: Final = {"instance": "host-17.example.net", "job": "ss_pusher"}
_TIME_MS: Final = 1_750_000_000_000
_INTERVAL_MS: Final = 15_000

_random: Final = np.random.default_rng(1)

Encoder = RemoteWriteV1Encoder | RemoteWriteV2Encoder


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="bench.encoders", description=__doc__)
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    options = parser.parse_args(argv)
    results = "\n".join(_results())
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _results() -> Iterator[str]:
    yield from report.introduction(f"nanoseconds a sample on one core, best of {_ROUNDS} rounds.")
    yield report.row(*_HEADINGS)
    yield report.row("---", *["---:"] * (len(_HEADINGS) - 1))
    for name, values in (("", _plausible), (", random values", _incompressible)):
        for version, encoder in (("1.0", RemoteWriteV1Encoder), ("2.0", RemoteWriteV2Encoder)):
            cells = _measure(partial(encoder, _EXTERNAL_LABELS, 2 * _SERIES), values)
            yield report.row(f"{version}{name}", *cells)
    yield ""


def _measure(new_encoder: Callable[[], Encoder], values: Callable[[int], F64]) -> Sequence[str]:
    before, same = _snapshot(_GROUPS, 0, values), _snapshot(_GROUPS, 1, values)
    one_more, many_more = _snapshot(_GROUPS + 1, 1, values), _snapshot(_GROUPS + _MORE_GROUPS, 1, values)
    encoder = new_encoder()
    encoder.encode(before)
    held = min(_taken(encoder, same) for _ in range(_ROUNDS))
    one, many = (_after(new_encoder, before, after) for after in (one_more, many_more))
    new = (many - one) / (_MORE_GROUPS - 1) / (_COUNTERS + _GAUGES)
    size = sum(len(request.body) for request in encoder.encode(same))
    return [f"{held / _SERIES:.0f}", f"{one / _SERIES:.0f}", f"{new:.0f}", f"{size / _SERIES:.1f}"]


def _after(new_encoder: Callable[[], Encoder], before: Snapshot, after: Snapshot) -> int:
    """Nanoseconds to encode `after` when `before` came before it."""
    taken = []
    for _ in range(_ROUNDS):
        encoder = new_encoder()
        encoder.encode(before)
        taken.append(_taken(encoder, after))
    return min(taken)


def _taken(encoder: Encoder, snapshot: Snapshot) -> int:
    begin = time.perf_counter_ns()
    encoder.encode(snapshot)
    return time.perf_counter_ns() - begin


def _snapshot(groups: int, tick: int, values: Callable[[int], F64]) -> Snapshot:
    time_ms = _TIME_MS + tick * _INTERVAL_MS
    starts = np.full(groups, _TIME_MS - 3_600_000)
    block = Block(_FAMILIES, tuple(_LABELS[:groups]), values(groups), starts)
    return Snapshot(time_ms, time_ms - _INTERVAL_MS if tick else 0, (block,))


def _plausible(groups: int) -> F64:
    """Counters are whole numbers of any size; gauges are times in whole microseconds."""
    counters = np.floor(_random.lognormal(8, 3, (_COUNTERS, groups)))
    return np.vstack((counters, np.round(_random.lognormal(9, 1, (_GAUGES, groups))) / 1e6))


def _incompressible(groups: int) -> F64:
    return _random.random((_COUNTERS + _GAUGES, groups))


def _families() -> tuple[Family, ...]:
    text = "What the kernel counts for the sockets of a group of flows, as tcp_info tells it."
    counters = [
        Family(f"ss_flow_counter_{i}_bytes_total", MetricType.COUNTER, f"{i}. {text}") for i in range(_COUNTERS)
    ]
    gauges = [Family(f"ss_flow_gauge_{i}_seconds", MetricType.GAUGE, f"{i}. {text}") for i in range(_GAUGES)]
    return (*counters, *gauges)


def _labels(groups: int) -> list[Labels]:
    """Besides __name__ and the external labels, five of each group's own."""
    return [
        (
            ("command", "nginx"),
            ("direction", "in"),
            ("remote_address", ".".join(map(str, (10, *_random.integers(0, 256, 3))))),
            ("service_port", str(_random.choice([443, 80, 5432, 9090]))),
            ("unit", str(_random.choice(["nginx.service", "postgresql.service", "app.service"]))),
        )
        for _ in range(groups)
    ]


_FAMILIES: Final = _families()
_LABELS: Final = _labels(_GROUPS + _MORE_GROUPS)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
