"""A running agent goes on with another configuration, and keeps what means the same in both."""

import logging
from dataclasses import replace

from ss_pusher.app import privilege
from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent, rule_fields
from ss_pusher.app.collector import kernel_fields
from ss_pusher.app.pipeline import Plan
from ss_pusher.app.plan import make_plan, rules
from ss_pusher.app.selecting import make_chooser
from ss_pusher.config import Config
from ss_pusher.ledger import Ledger
from ss_pusher.netlink.tcp_info import Field

logger = logging.getLogger(__name__)


def renewed(running: Agent, config: Config) -> Agent:
    """The agent of `config`, as yet without endpoints. Until `settle`, the running one could still go on.

    The sockets, the ledger, the accounts and the selection go on, each where the sections that shape it are the same.

    Raises:
        ConfigError: as for `build_agent`.
        UnsupportedHostError: the same.
        CollectError: the same.
    """
    plan = make_plan(config, kernel_fields())
    before = running.pipeline
    if not _reads_alike(running, config, plan):
        anew = build_agent(config, lambda _: [], running.clock, telemetry=running.telemetry)
        # Time goes on, and so do the agent's metrics about itself.
        anew.pipeline.previous_ms, anew.pipeline.start_ms = before.previous_ms, before.start_ms
        return anew
    for text in privilege.missing(config):
        logger.warning("%s", text)
    same_limits = config.limit == running.config.limit
    choose = before.choose if same_limits else make_chooser(config, plan, before.attributor, running.telemetry)
    # A wider filter lets flows through that are old, and must not be taken for new ones.
    ledger = before.ledger if config.filter == running.config.filter else Ledger(before.ledger.fields)
    pipeline = replace(before, plan=plan, choose=choose, ledger=ledger, interval=config.interval)
    return replace(running, config=config, pipeline=pipeline, endpoints=())


def settle(before: Agent, after: Agent) -> None:
    """From now on it is `after` that runs: let go of what only `before` needs, and say what does not go on."""
    if after.filtering is not before.filtering:
        before.close()
        logger.info("collect, group or metrics have changed: the counters of flows begin anew")
    elif after.config.filter != before.config.filter:
        after.filtering.change(rules(after.config))
        logger.info("the filter has changed: what flows move until the next tick is not counted")


def _reads_alike(running: Agent, config: Config, plan: Plan) -> bool:
    """Whether the same is read of every socket, and counted for the same groups."""
    before = running.config
    return (
        (config.collect, config.group, config.metrics) == (before.collect, before.group, before.metrics)
        and replace(plan, max_series=running.pipeline.plan.max_series) == running.pipeline.plan
        and _asked_by_rules(config) == _asked_by_rules(before)
    )


def _asked_by_rules(config: Config) -> tuple[tuple[Field, ...], bool]:
    return rule_fields(config), any(rule.congestions for rule in rules(config))
