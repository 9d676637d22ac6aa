"""Remote write 2.0, https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/: io.prometheus.write.v2.Request."""

from collections.abc import Mapping

from ss_pusher.encode.remote_write import SeriesEncoder
from ss_pusher.encode.symbols import SymbolWriter
from ss_pusher.model import Protocol


class RemoteWriteV2Encoder(SeriesEncoder):
    """Snapshots as requests of remote write 2.0, with start times, and metadata in each series."""

    def __init__(
        self, external_labels: Mapping[str, str], max_samples_per_send: int, *, native_histograms: bool = False
    ) -> None:
        super().__init__(
            Protocol.REMOTE_WRITE_2,
            SymbolWriter,
            external_labels,
            max_samples_per_send,
            native_histograms=native_histograms,
        )
