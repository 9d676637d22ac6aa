"""Which metrics are exported."""

from typing import Annotated, Literal

from msgspec import Meta

from ss_pusher.config.section import Check, Problems, Section
from ss_pusher.config.values import MetricPattern, Number


def _ascending(bounds: tuple[float, ...]) -> Problems:
    for position in range(1, len(bounds)):
        if bounds[position] <= bounds[position - 1]:
            yield ("rtt_buckets_ms", position), "must be more than the one before"


class SsExporter(Section, frozen=True, kw_only=True):
    """What the preset ss_exporter needs to know. It groups by its own label `flow`, and not by group.by."""

    flow: Annotated[
        Literal["raw_endpoint", "pid_condensed"],
        Meta(description="The label flow: raw_endpoint has both ends, pid_condensed the process and the peer."),
    ] = "raw_endpoint"
    rtt_buckets_ms: Annotated[
        tuple[Annotated[Number, Meta(gt=0)], ...],
        Meta(description="Upper bounds of the buckets of tcp_rtt_hist_ms, in milliseconds.", min_length=1),
    ] = (0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 200.0, 500.0)

    checks = (Check(("rtt_buckets_ms",), _ascending),)


class Metrics(Section, frozen=True, kw_only=True):
    """Which metrics are exported."""

    preset: Annotated[
        Literal["essential", "standard", "all", "ss_exporter"],
        Meta(description="What to begin with; ss_exporter has the names of prometheus_ss_exporter."),
    ] = "standard"
    include: Annotated[
        tuple[MetricPattern, ...],
        Meta(description="Metrics to add; * stands for any letters.", examples=[["ss_flow_ecn_*"]]),
    ] = ()
    exclude: Annotated[
        tuple[MetricPattern, ...],
        Meta(description="Metrics to leave out, after include.", examples=[["ss_flow_cwnd_segments"]]),
    ] = ()
    ss_exporter: Annotated[
        SsExporter,
        Meta(
            description="For the preset ss_exporter.",
            examples=[{"flow": "pid_condensed", "rtt_buckets_ms": [0.5, 5, 50, 500]}],
        ),
    ] = SsExporter()
