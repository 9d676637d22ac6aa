"""Short forms for declaring metrics, so that a theme's file reads as a table."""

from typing import Final

from ss_pusher.model import Family, FlowCounter, FlowGauge, Fold, MetricType, Preset

MICROSECONDS: Final = 1_000_000
MILLISECONDS: Final = 1_000

FLOW_PREFIX: Final = "ss_flow_"
HOST_PREFIX: Final = "ss_tcp_"

FILTERS_APPLY: Final = " Filters apply: it is the sum of the ss_flow_ series."


def counter(
    name: str,
    field: str,
    preset: Preset,
    text: str,
    *,
    minus: str = "",
    unit: str = "",
    per: int = 1,
    host: bool = False,
) -> FlowCounter:
    """Declare `ss_flow_<name>_total`, and with `host` also the whole host's `ss_tcp_<name>_total`."""
    family = Family(f"{FLOW_PREFIX}{name}_total", MetricType.COUNTER, text, unit)
    total = Family(f"{HOST_PREFIX}{name}_total", MetricType.COUNTER, text + FILTERS_APPLY, unit) if host else None
    return FlowCounter(family, field, preset, minus=minus, per=per, host=total)


def gauge(
    name: str,
    field: str,
    preset: Preset,
    fold: Fold,
    text: str,
    *,
    unit: str = "",
    per: int = 1,
    unless: str = "",
) -> FlowGauge:
    """Declare `ss_flow_<name>`."""
    return FlowGauge(Family(FLOW_PREFIX + name, MetricType.GAUGE, text, unit), field, preset, fold, per, unless)
