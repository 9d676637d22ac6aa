"""Values go through a template bit by bit."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.layout import Layout, Writer
from ss_pusher.encode.remote_write_v1 import LabelWriter
from ss_pusher.encode.series import Column, Table
from ss_pusher.encode.symbols import SymbolWriter
from ss_pusher.model import Family, MetricType
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2

TIME_MS = 1_750_000_000_000
COLUMN = Column(
    Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload.", "bytes"), "ss_flow_sent_bytes_total", ""
)

# Signalling and quiet NaNs with any payload among them.
_BITS = st.integers(0, 2**64 - 1) | st.integers(0, 2**52 - 1).map(lambda payload: 0x7FF << 52 | payload)


def bits_of(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


@pytest.mark.parametrize(("writer", "message"), [(LabelWriter, v1.WriteRequest), (SymbolWriter, v2.Request)])
@given(ticks=st.lists(st.lists(_BITS, min_size=3, max_size=3), min_size=1, max_size=4))
def test_every_float64_arrives_bit_by_bit_also_nans_with_a_payload(
    writer: type[Writer], message: type[v1.WriteRequest | v2.Request], ticks: list[list[int]]
) -> None:
    bits = np.array(ticks[0], dtype=np.uint64)[:, None]
    labels = tuple((("group", "g" * 10**row),) for row in range(3))
    table = Table((COLUMN,), labels, bits, np.ones((3, 1), np.uint8), np.full(3, TIME_MS))
    template = Layout(writer, {}).template([table], 0)
    for tick, values in enumerate(ticks):
        body = template.fill(np.array(values, dtype=np.uint64), TIME_MS + tick)
        decoded = message.FromString(bytes(body))
        samples = [series.samples[0] for series in decoded.timeseries]
        assert [bits_of(sample.value) for sample in samples] == values
        assert {sample.timestamp for sample in samples} == {TIME_MS + tick}
