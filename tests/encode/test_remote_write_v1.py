from collections.abc import Mapping

import numpy as np
import snappy
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.remote_write_v1 import METADATA_INTERVAL_MS, RemoteWriteV1Encoder
from ss_pusher.model import Block, Family, MetricType, Protocol, Request, Snapshot
from ss_pusher.proto import remote_write_v1_pb2 as v1
from tests.encode import oracle, snapshots


def without_metadata(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.samples]


def assert_equal(requests: list[Request], expected: list[oracle.Series]) -> None:
    decoded = v1.WriteRequest()
    for request in requests:
        decoded.MergeFrom(oracle.decode_v1(request))
    # Compared as bytes, because no NaN equals itself.
    assert decoded.SerializeToString() == oracle.message_v1(expected).SerializeToString()


@given(snapshots.histories(), snapshots.external_labels, st.integers(1, 30))
def test_requests_decode_to_what_protobuf_would_have_made_of_the_snapshots(
    history: list[Snapshot], external_labels: Mapping[str, str], max_samples: int
) -> None:
    encoder = RemoteWriteV1Encoder(external_labels, max_samples)
    reference = oracle.Oracle(external_labels)
    for snapshot in history:
        assert_equal(without_metadata(encoder.encode(snapshot)), reference.encode(snapshot))
    time_ms = history[-1].time_ms + 1
    assert_equal(encoder.stale(time_ms), reference.stale(time_ms))
