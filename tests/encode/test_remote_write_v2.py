from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.remote_write_v2 import encoder
from ss_pusher.model import Request, Snapshot
from ss_pusher.proto import remote_write_v2_pb2 as v2
from tests.encode import oracle, snapshots


def assert_equal(requests: list[Request], expected: list[oracle.Series]) -> None:
    remaining = expected
    for request in requests:
        decoded = oracle.decode_v2(request)
        part, remaining = remaining[: len(decoded.timeseries)], remaining[len(decoded.timeseries) :]
        # Compared as bytes, because no NaN equals itself.
        assert decoded.SerializeToString() == oracle.message_v2(part, decoded.symbols).SerializeToString()
        assert request.samples == sum(len(series.samples) for series in part)
    assert not remaining


@given(snapshots.histories(), snapshots.external_labels, st.integers(1, 30))
def test_requests_decode_to_what_protobuf_would_have_made_of_the_snapshots(
    history: list[Snapshot], external_labels: Mapping[str, str], max_samples: int
) -> None:
    encode = encoder(external_labels, max_samples)
    reference = oracle.Oracle(external_labels)
    for snapshot in history:
        assert_equal(encode.encode(snapshot), reference.encode(snapshot))
    time_ms = history[-1].time_ms + 1
    assert_equal(encode.stale(time_ms), reference.stale(time_ms))
