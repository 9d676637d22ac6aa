"""Remote write 2.0's table of symbols, and series written as references into it."""

from collections.abc import Iterable
from typing import Final

from ss_pusher.encode.protobuf import delimited, varint
from ss_pusher.encode.remote_write import METRIC_TYPES
from ss_pusher.model import Family

_SYMBOLS: Final = 0x22  # Request.symbols
_TIMESERIES: Final = 0x2A  # Request.timeseries
_LABELS_REFS: Final = 0x0A  # TimeSeries.labels_refs
_HISTOGRAMS: Final = 0x1A  # TimeSeries.histograms
_METADATA: Final = 0x2A  # TimeSeries.metadata
_TYPE: Final = b"\x08"
_HELP_REF: Final = b"\x18"
_UNIT_REF: Final = b"\x20"


class Symbols(dict[str, bytes]):
    """The references of a request's symbols, as varints. What is asked for first becomes a symbol; "" always is.

    `encoded` is the table as it stands in the request.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoded = bytearray()
        self[""]

    def __missing__(self, symbol: str) -> bytes:
        self.encoded += delimited(_SYMBOLS, symbol.encode())
        self[symbol] = reference = varint(len(self))
        return reference


class SymbolWriter:
    """Strings as references into the request's table of symbols, which grows with each new one."""

    tag = _TIMESERIES
    histogram_tag = _HISTOGRAMS
    starts = True

    def __init__(self) -> None:
        self._symbols = Symbols()

    def __len__(self) -> int:
        return len(self._symbols)

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> bytes:
        """Two references each."""
        symbols = self._symbols
        return b"".join([symbols[name] + symbols[value] for name, value in pairs])

    def labels(self, pairs: bytes) -> bytes:
        """The references in one packed field."""
        return delimited(_LABELS_REFS, pairs)

    def metadata(self, family: Family) -> bytes:
        """Help, unit and type; what is empty is left out. Help is first because its reference tells families apart.

        So the compressor finds the same family in the row before, and with it all until the next label that differs.
        """
        help_ref = _HELP_REF + self._symbols[family.help] if family.help else b""
        unit_ref = _UNIT_REF + self._symbols[family.unit] if family.unit else b""
        return delimited(_METADATA, help_ref + unit_ref + _TYPE + varint(METRIC_TYPES[family.type]))

    def head(self) -> bytes:
        """The table of symbols."""
        return bytes(self._symbols.encoded)
