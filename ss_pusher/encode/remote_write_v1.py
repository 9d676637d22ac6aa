"""Remote write 1.0, https://prometheus.io/docs/specs/prw/remote_write_spec/: prometheus.WriteRequest."""

from collections.abc import Iterable, Mapping
from typing import Final

from ss_pusher.encode.protobuf import delimited
from ss_pusher.encode.remote_write import METRIC_TYPES, SeriesEncoder, compressed
from ss_pusher.encode.series import families
from ss_pusher.model import Family, Protocol, Request, Snapshot

_TIMESERIES: Final = 0x0A  # WriteRequest.timeseries
_LABELS: Final = 0x0A  # TimeSeries.labels
_HISTOGRAMS: Final = 0x22  # TimeSeries.histograms
_NAME: Final = 0x0A  # Label.name
_VALUE: Final = 0x12  # Label.value

_METADATA: Final = 0x1A  # WriteRequest.metadata
_FAMILY_NAME: Final = 0x12
_HELP: Final = 0x22
_UNIT: Final = 0x2A

METADATA_INTERVAL_MS: Final = 300_000
"""How long metadata is good for. Mimir forgets what it has not been told again for 10 minutes."""


class RemoteWriteV1Encoder:
    """Snapshots as requests of remote write 1.0."""

    def __init__(
        self, external_labels: Mapping[str, str], max_samples_per_send: int, *, native_histograms: bool = False
    ) -> None:
        self._series = SeriesEncoder(
            Protocol.REMOTE_WRITE_1,
            LabelWriter,
            external_labels,
            max_samples_per_send,
            native_histograms=native_histograms,
        )
        self._families: tuple[Family, ...] = ()
        self._metadata = b""
        self._metadata_ms = 0

    def encode(self, snapshot: Snapshot) -> list[Request]:
        """The series, see `SeriesEncoder.encode`; before them a request with metadata alone, where that is due.

        Raises:
            EncodeError: a time is not of this century.
        """
        series = self._series.encode(snapshot)
        return [*self._due_metadata(families(snapshot), snapshot.time_ms), *series]

    def stale(self, time_ms: int) -> list[Request]:
        """Markers that end every series of the last snapshot."""
        return self._series.stale(time_ms)

    def _due_metadata(self, current: tuple[Family, ...], time_ms: int) -> list[Request]:
        fresh = current == self._families and 0 <= time_ms - self._metadata_ms < METADATA_INTERVAL_MS
        if fresh or not current:
            return []
        if current != self._families:
            self._families = current
            self._metadata = compressed(b"".join(map(_metadata, current)))
        self._metadata_ms = time_ms
        return [Request(Protocol.REMOTE_WRITE_1, self._metadata, 0, time_ms, time_ms)]


def _metadata(family: Family) -> bytes:
    fields = bytes((0x08, METRIC_TYPES[family.type])) + delimited(_FAMILY_NAME, family.name.encode())
    if family.help:
        fields += delimited(_HELP, family.help.encode())
    if family.unit:
        fields += delimited(_UNIT, family.unit.encode())
    return delimited(_METADATA, fields)


class LabelWriter:
    """Labels as strings in every series. Remembers the bytes of each pair."""

    tag = _TIMESERIES
    histogram_tag = _HISTOGRAMS
    starts = False

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], bytes] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> bytes:
        """The labels as fields of their TimeSeries."""
        return b"".join([self._pairs.get(pair) or self._pair(pair) for pair in pairs])

    def _pair(self, pair: tuple[str, str]) -> bytes:
        name, value = pair
        label = delimited(_LABELS, delimited(_NAME, name.encode()) + delimited(_VALUE, value.encode()))
        self._pairs[pair] = label
        return label

    def labels(self, pairs: bytes) -> bytes:
        """Nothing stands around them."""
        return pairs

    def metadata(self, family: Family) -> bytes:  # noqa: ARG002 - 1.0 sends metadata by itself
        """Nothing: 1.0 sends metadata in fields of their own."""
        return b""

    def head(self) -> bytes:
        """Nothing comes before the series."""
        return b""
