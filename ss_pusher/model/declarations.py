"""What a metric is: its name and type, and how it is made of the fields of sockets."""

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum


class MetricType(StrEnum):
    """The names are those of the exposition format's TYPE line."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Preset(IntEnum):
    """How much of the metrics is wanted; each includes the ones before, but SS_EXPORTER, which stands alone."""

    ESSENTIAL = 1
    STANDARD = 2
    ALL = 3
    SS_EXPORTER = 4


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as receivers know it. The name is that on the wire, with the _total that counters of ours end in."""

    name: str
    type: MetricType
    help: str
    unit: str = ""


class Fold(Enum):
    """How the sockets of a group make one value of a gauge."""

    SUM = "sum"
    MEAN = "mean"
    MAX = "max"
    MIN = "min"


class LedgerField(StrEnum):
    """Counted by the ledger for each flow, beside the fields of tcp_info."""

    OPENED = "flows_opened"
    CLOSED = "flows_closed"
    CONNECT_FAILURES = "connect_failures"
    WIPED = "flows_wiped"
    LOST = "flows_lost"


@dataclass(frozen=True, slots=True)
class FlowCounter:
    """A counter kept for each socket: `field` of tcp_info or of the ledger, less `minus` where given.

    The exported value is the integer total divided by `per`. `host` is the family of the whole host's total, if it has
    one besides the groups' own.
    """

    family: Family
    field: str
    preset: Preset
    minus: str = ""
    per: int = 1
    host: Family | None = None


@dataclass(frozen=True, slots=True)
class FlowGauge:
    """A momentary value of a socket, and how a group of sockets folds it. Rows where `unless` is set do not count."""

    family: Family
    field: str
    preset: Preset
    fold: Fold
    per: int = 1
    unless: str = ""


@dataclass(frozen=True, slots=True)
class FlowHistogram:
    """How a momentary value of the open flows is distributed, divided by `per`. Bounds are inclusive."""

    family: Family
    field: str
    bounds: tuple[float, ...]
    per: int = 1
