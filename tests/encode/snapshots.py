"""Snapshots for property tests: series that come, go and move between blocks, odd values, names and times."""

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from ss_pusher.model import Block, Family, HistogramBlock, Labels, MetricType, NativeBuckets, Snapshot

TIME_MS = 1_750_000_000_000

FAMILIES = (
    Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload.", "bytes"),
    Family("ss_flow_rto_total", MetricType.COUNTER, "Timeouts of the retransmission timer."),
    Family("ss_flow_rtt_seconds", MetricType.GAUGE, 'Rtt, "ärgerlich" \\ long\nor not.', "seconds"),
    Family("ss_flow_sockets", MetricType.GAUGE, "Sockets."),
    Family("ss_pusher_ticks_total", MetricType.COUNTER, "Ticks."),
)
HISTOGRAMS = (
    Family("ss_tcp_rtt_seconds", MetricType.HISTOGRAM, "Rtt of all flows.", "seconds"),
    Family("ss_tcp_closed_flow_bytes", MetricType.HISTOGRAM, "Bytes.", "bytes"),
)
BOUNDS = ((), (0.005,), (0.005, 1.0, 2.5, 1e6))

# Not surrogates, which UTF-8 cannot express; long values pass the length that fits one byte.
_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
_VALUES = st.one_of(
    st.just(math.nan),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, 5e-324, 2.0**53]),
)

external_labels = st.dictionaries(
    st.sampled_from(["Zone", "__above__", "direction", "instance", "job", "z"]),
    st.one_of(_TEXT, st.just("")),
    max_size=4,
)


@st.composite
def _label_sets(draw: st.DrawFn) -> list[Labels]:
    """Each has `direction`, which an external label may have too; `kind` sorts before `le`, `unit` after it."""
    values = st.sampled_from(["a", "b", "10.0.0.1", "ünit", "x" * 300]) | _TEXT
    names = st.sampled_from(["Interface", "kind", "unit"])
    label_sets = st.builds(
        lambda direction, more: tuple(sorted({**more, "direction": direction}.items())),
        st.sampled_from(["in", "out"]),
        st.dictionaries(names, values, max_size=3),
    )
    return draw(st.lists(label_sets, min_size=1, max_size=6, unique=True))


@st.composite
def _block(draw: st.DrawFn, families: Sequence[Family], pool: list[Labels], time_ms: int) -> Block:
    labels = tuple(draw(st.lists(st.sampled_from(pool), max_size=len(pool), unique=True)))
    values = draw(st.lists(_VALUES, min_size=len(families) * len(labels), max_size=len(families) * len(labels)))
    return Block(
        families=tuple(families),
        labels=labels,
        values=np.array(values, dtype=np.float64).reshape(len(families), len(labels)),
        start_ms=draw(_starts(len(labels), time_ms)),
    )


@st.composite
def _histogram(draw: st.DrawFn, family: Family, pool: list[Labels], time_ms: int) -> HistogramBlock:
    labels = tuple(draw(st.lists(st.sampled_from(pool), max_size=2, unique=True)))
    bounds = draw(st.sampled_from(BOUNDS))
    size = len(labels) * (len(bounds) + 1)
    counts = draw(st.lists(st.integers(0, 2**40), min_size=size, max_size=size))
    sums = draw(st.lists(st.floats(allow_nan=False), min_size=len(labels), max_size=len(labels)))
    return HistogramBlock(
        family=family,
        labels=labels,
        bounds=bounds,
        counts=np.array(counts, dtype=np.uint64).reshape(len(labels), len(bounds) + 1),
        sums=np.array(sums, dtype=np.float64),
        start_ms=draw(_starts(len(labels), time_ms)),
        native=draw(st.none() | _native(len(labels))),
    )


@st.composite
def _native(draw: st.DrawFn, rows: int) -> NativeBuckets:
    """Few buckets hold something, with gaps of any width between them."""
    buckets = draw(st.integers(1, 12))
    counts = st.sampled_from([0, 0, 0, 1, 127, 2**50])
    return NativeBuckets(
        schema=draw(st.integers(-4, 8)),
        first=draw(st.integers(-300, 300)),
        zeros=np.array(draw(st.lists(counts, min_size=rows, max_size=rows)), dtype=np.uint64),
        counts=np.array(
            draw(st.lists(counts, min_size=rows * buckets, max_size=rows * buckets)), dtype=np.uint64
        ).reshape(rows, buckets),
    )


def _starts(count: int, time_ms: int) -> st.SearchStrategy[np.ndarray]:
    near = st.integers(-3000, 0).map(lambda offset: time_ms + offset)
    return st.lists(near | st.just(0), min_size=count, max_size=count).map(lambda s: np.array(s, dtype=np.int64))


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    """Consecutive snapshots over one pool of label sets. The first has no tick before it, or one that is not here."""
    pool = draw(_label_sets())
    time_ms = TIME_MS
    previous_ms = draw(st.sampled_from([0, TIME_MS - 1000]))
    snapshots = []
    for _ in range(draw(st.integers(1, 4))):
        families = draw(st.permutations(FAMILIES))
        cuts = sorted(draw(st.lists(st.integers(0, len(families)), min_size=2, max_size=2)))
        runs = (families[: cuts[0]], families[cuts[0] : cuts[1]], families[cuts[1] :])
        wanted = [run for run in runs if run][: draw(st.integers(0, 3))]
        histograms = draw(st.lists(st.sampled_from(HISTOGRAMS), max_size=2, unique=True))
        snapshots.append(
            Snapshot(
                time_ms,
                previous_ms,
                tuple(draw(_block(run, pool, time_ms)) for run in wanted),
                tuple(draw(_histogram(family, pool, time_ms)) for family in histograms),
            )
        )
        previous_ms, time_ms = time_ms, time_ms + draw(st.sampled_from([1, 2, 1000, 15_000]))
    return snapshots
