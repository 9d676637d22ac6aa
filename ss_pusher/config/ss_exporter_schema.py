"""What a configuration of prometheus_ss_exporter may hold, in the spelling of 2.x and in that of 3.x."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from ss_pusher.config.filter import Pid
from ss_pusher.config.section import Check, Section, Steps
from ss_pusher.config.values import Cidr, HostName, Name, Number

Bound: TypeAlias = Annotated[Number, Meta(gt=0)]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]


class Active(Section, frozen=True, kw_only=True):
    """A metric, or a kind of metrics, that can be switched off."""

    active: bool = True


class Latency(Active, frozen=True, kw_only=True):
    """The histogram: 2.x writes bucket_bounds, 3.x bucketBounds."""

    bucket_bounds: tuple[Bound, ...] = ()
    bucketBounds: tuple[Bound, ...] = ()  # noqa: N815 - as it is written there


class Histograms(Active, frozen=True, kw_only=True):
    """The one histogram is latency in 2.x and rtt in 3.x."""

    latency: Latency | None = None
    rtt: Latency | None = None


class Gauges(Active, frozen=True, kw_only=True):
    """The last one in both spellings."""

    rtt: Active = Active()
    cwnd: Active = Active()
    delivery_rate: Active = Active()
    deliveryRate: Active = Active()  # noqa: N815 - the same


class Counters(Active, frozen=True, kw_only=True):
    """Each in both spellings."""

    data_segs_in: Active = Active()
    data_segs_out: Active = Active()
    dataSegsIn: Active = Active()  # noqa: N815 - the same
    dataSegsOut: Active = Active()  # noqa: N815 - the same


class Metrics(Section, frozen=True, kw_only=True):
    """Without the section, the histogram is off and the rest on, as in 3.x; in 2.x every section had to be there."""

    histograms: Histograms = Histograms()
    gauges: Gauges = Gauges()
    counters: Counters = Counters()


Folding: TypeAlias = Literal["raw_endpoint", "pid_condensed"]


class LabelFolding(Section, frozen=True, kw_only=True):
    """The spelling of 2.x."""

    origin: Folding = "raw_endpoint"


class Compression(Section, frozen=True, kw_only=True):
    """How the label flow is made."""

    label_folding: LabelFolding | None = None
    labelFolding: Folding | None = None  # noqa: N815 - the same


def _upwards(lower: int, upper: int) -> Iterator[tuple[Steps, str]]:
    if lower > upper or not upper:
        yield (), "is no range of ports"


class Ports(Section, frozen=True, kw_only=True):
    """Both ports are included."""

    lower: Port
    upper: Port

    checks = (Check(("lower", "upper"), _upwards),)


class Process(Section, frozen=True, kw_only=True):
    """Who holds the socket."""

    pids: tuple[Pid, ...] = ()
    cmds: tuple[Name, ...] = ()


class Peering(Section, frozen=True, kw_only=True):
    """Who is at the other end; in 2.x the port ranges stand here too."""

    addresses: tuple[Cidr, ...] = ()
    networks: tuple[Cidr, ...] = ()
    hosts: tuple[HostName, ...] = ()
    portranges: tuple[Ports, ...] = ()


class Selection(Section, frozen=True, kw_only=True):
    """Which flows: all where nothing is named."""

    process: Process = Process()
    peering: Peering = Peering()
    portRanges: tuple[Ports, ...] = ()  # noqa: N815 - the same


class Logic(Section, frozen=True, kw_only=True):
    """All but the port to listen on, which is an option of the command."""

    metrics: Metrics = Metrics()
    compression: Compression = Compression()
    selection: Selection = Selection()


ROOT: Final = "logic"
"""The key that holds all of theirs, and that we do not have."""


class Document(Section, frozen=True, kw_only=True):
    """The whole file."""

    logic: Logic
