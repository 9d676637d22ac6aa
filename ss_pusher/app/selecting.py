"""The selection of a configuration."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ss_pusher.app import privilege
from ss_pusher.app.collector import kernel_fields
from ss_pusher.app.pipeline import Plan, fixed_series
from ss_pusher.app.plan import make_plan, read_config
from ss_pusher.attribute.attributes import layout
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.config import Config
from ss_pusher.config.schema import Aggregate
from ss_pusher.errors import ConfigError
from ss_pusher.model import Choice, Groups, KeyPart
from ss_pusher.select import Selection
from ss_pusher.select.prefix import Prefixes
from ss_pusher.select.report import Report
from ss_pusher.telemetry import Telemetry

_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 128

SERIES_OF_ITS_OWN: Final = 200
"""Room that the agent's metrics about itself may take; they grow with endpoints and reasons, but not beyond this."""


def make_selection(config: Config, plan: Plan, parts: Sequence[KeyPart], times: float = 1) -> Selection:
    """A selection within the configured limits, for keys of these `parts`.

    `times` multiplies how many groups each ranking chooses.
    """
    return Selection(
        parts,
        [(top.by, max(1, round(top.count * times))) for top in config.limit.top],
        hold=config.limit.hold,
        series_per_group=max(plan.series_per_group, 1),
        max_new_series_per_hour=config.limit.max_new_series_per_hour,
        max_values=dict(config.limit.max_values.items()),
        prefixes=_prefixes(config.limit.aggregate),
    )


def read_limited(path: Path) -> Config:
    """The configuration in `path`, for an agent that is to run with it here.

    Raises:
        ConfigError: it cannot be used, its limits leave no room, or it takes a privilege that this process lacks.
    """
    config = read_config(path)
    check_limits_in(path, config)
    privilege.need(config, path)
    return config


def check_limits_in(path: Path, config: Config) -> None:
    """Raise ConfigError for what `check_limits` finds in the configuration that stands in `path`."""
    plan = make_plan(config, kernel_fields())
    try:
        check_limits(plan, make_selection(config, plan, layout(plan.by)))
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from error


def check_limits(plan: Plan, selection: Selection) -> None:
    """Raise ConfigError where the limits have no room for what is always exported."""
    least = fixed_series(plan) + SERIES_OF_ITS_OWN + selection.remainders * plan.series_per_group
    if plan.max_series < least:
        raise ConfigError([f"limit.max_series: {plan.max_series} is too small: what is always exported needs {least}"])


def make_chooser(
    config: Config, plan: Plan, attributor: Attributor, telemetry: Telemetry
) -> Callable[[Groups, int, float], Choice]:
    """The selection, and what it says of itself as metrics. Raises ConfigError where the limits leave it no room."""
    selection = make_selection(config, plan, attributor.layout(plan.by))
    check_limits(plan, selection)

    def choose(groups: Groups, room: int, seconds: float) -> Choice:
        choice, report = selection.choose(groups, seconds, room // max(plan.series_per_group, 1))
        _tell(report, telemetry)
        return choice

    return choose


def _prefixes(section: Aggregate) -> Prefixes | None:
    """A family for which none is configured gets the whole address, which no group is longer than."""
    if section.ipv4 is None and section.ipv6 is None:
        return None
    return Prefixes(section.ipv4 or _IPV4_BITS, section.ipv6 or _IPV6_BITS)


def _tell(report: Report, telemetry: Telemetry) -> None:
    telemetry.set("ss_pusher_groups_exported", report.exported)
    telemetry.add("ss_pusher_new_series_total", report.new_series)
    telemetry.add("ss_pusher_groups_evicted_total", report.evicted)
    for limit, refused in report.refused.items():
        telemetry.set("ss_pusher_groups_refused", refused, limit=str(limit))
    for what, share in report.coverage.items():
        telemetry.set("ss_pusher_coverage_ratio", share, of=what)
