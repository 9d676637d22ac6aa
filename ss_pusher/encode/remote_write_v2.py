"""Remote write 2.0, https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/: io.prometheus.write.v2.Request."""

from collections.abc import Mapping

from ss_pusher.encode.native_histogram import NativeHistogramEncoder
from ss_pusher.encode.remote_write import SeriesEncoder
from ss_pusher.encode.symbols import SymbolWriter
from ss_pusher.model import Protocol, Request, Snapshot


class RemoteWriteV2Encoder:
    """Snapshots as requests of remote write 2.0, with start times, and metadata in each series."""

    def __init__(
        self, external_labels: Mapping[str, str], max_samples_per_send: int, *, native_histograms: bool = False
    ) -> None:
        self._parts: list[SeriesEncoder | NativeHistogramEncoder] = [
            SeriesEncoder(Protocol.REMOTE_WRITE_2, SymbolWriter, external_labels, max_samples_per_send)
        ]
        if native_histograms:
            self._parts.append(NativeHistogramEncoder(external_labels, max_samples_per_send))

    def encode(self, snapshot: Snapshot) -> list[Request]:
        """The series, see `SeriesEncoder.encode`; after them, where asked for, the histograms as native ones.

        Raises:
            EncodeError: a time is not of this century.
        """
        return [request for part in self._parts for request in part.encode(snapshot)]

    def stale(self, time_ms: int) -> list[Request]:
        """Markers that end every series of the last snapshot, later than it even when the clock stood still."""
        return [request for part in self._parts for request in part.stale(time_ms)]
