"""A configuration becomes an agent."""

import logging
import secrets
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from functools import partial

import numpy as np

from ss_pusher.accounts import Accounts, Distribution
from ss_pusher.app import privilege
from ss_pusher.app.agent import Agent
from ss_pusher.app.collector import Collector, kernel_fields
from ss_pusher.app.endpoints import Endpoint
from ss_pusher.app.filtering import Filtering
from ss_pusher.app.memory import most_event_bytes, most_sockets
from ss_pusher.app.namespaces import Namespaces
from ss_pusher.app.pipeline import Pipeline, Plan
from ss_pusher.app.plan import fields, make_plan, rules
from ss_pusher.app.selecting import make_chooser
from ss_pusher.attribute.attributor import Attributor, own_interfaces
from ss_pusher.attribute.networks import Prefix
from ss_pusher.clock import Clock
from ss_pusher.config import Config
from ss_pusher.ledger import Ledger
from ss_pusher.loop import Stages
from ss_pusher.metrics import ss_exporter
from ss_pusher.model import U64, AddressFamily, Labels, Sockets
from ss_pusher.netlink.closed import ClosedFlows
from ss_pusher.netlink.dump import Dumper, open_diag_socket
from ss_pusher.netlink.filter import Program
from ss_pusher.netlink.namespaces import Namespace
from ss_pusher.netlink.tcp_info import MARK, Field
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)


def build_agent(
    config: Config,
    endpoints: Callable[[Telemetry], list[Endpoint]],
    clock: Clock,
    narrow: Callable[[Program], Program] = lambda program: program,
    telemetry: Telemetry | None = None,
) -> Agent:
    """Everything that runs, with its sockets open. `endpoints` makes them, given where to count.

    `narrow` may have the kernel leave out more of a dump than the filter does. `telemetry` is what counts already.

    Raises:
        ConfigError: the limits leave no room for what is always exported, or other network namespaces are wanted
            without the privilege to enter them.
        UnsupportedHostError: this host has no sock_diag.
        CollectError: it has, but gives nothing now.
    """
    privilege.need(config)
    plan = make_plan(config, kernel_fields())
    if plan.missing:
        logger.warning("this kernel does not count what these metrics need: %s", ", ".join(plan.missing))
    for text in privilege.missing(config):
        logger.warning("%s", text)
    telemetry = telemetry or Telemetry()
    stages = Stages(telemetry, clock.monotonic)

    def interfaces(name: str) -> list[tuple[int, str]]:
        return namespaces.interfaces(name)

    def program(name: str) -> Program:
        return narrow(filtering.compile(name))

    attributor = make_attributor(config, interfaces)
    with ExitStack() as opened:
        filtering = opened.enter_context(closing(make_filtering(config, attributor)))
        namespaces = opened.enter_context(closing(_namespaces(config, plan, program, telemetry, attributor.forget)))
        return Agent(
            config=config,
            filtering=filtering,
            pipeline=_pipeline(config, plan, namespaces, attributor, filtering, stages=stages, clock=clock),
            endpoints=endpoints(telemetry),
            telemetry=telemetry,
            stages=stages,
            clock=clock,
            close=opened.pop_all().close,
        )


def make_attributor(
    config: Config, interfaces: Callable[[str], Iterable[tuple[int, str]]] = own_interfaces
) -> Attributor:
    """What names the sockets; `interfaces` gives those of a network namespace."""
    prefix = Prefix(config.group.prefix.ipv4, config.group.prefix.ipv6)
    return Attributor(networks=config.group.networks, prefix=prefix, interfaces=interfaces)


def make_filtering(config: Config, attributor: Attributor) -> Filtering:
    """What decides which of them count; to be closed."""
    collect = config.collect
    return Filtering(rules(config), attributor, loopback=collect.loopback, closed_flows=collect.closed_flows)


def rule_fields(config: Config) -> tuple[Field, ...]:
    """The fields that only rules ask for."""
    return (MARK,) if any(rule.marks for rule in rules(config)) else ()


def _pipeline(
    config: Config,
    plan: Plan,
    namespaces: Namespaces,
    attributor: Attributor,
    filtering: Filtering,
    *,
    stages: Stages,
    clock: Clock,
) -> Pipeline:
    words = sum(part.width for part in attributor.layout(plan.by))
    return Pipeline(
        plan=plan,
        collect=namespaces,
        attributor=attributor,
        keep=filtering.keep,
        ledger=Ledger(name for counter in plan.counters for name in (counter.field, counter.minus) if name),
        choose=make_chooser(config, plan, attributor, stages.telemetry),
        accounts=Accounts(len(plan.counters), words, _render(plan, attributor)),
        own_blocks=stages.telemetry.blocks,
        stage=stages,
        gauge=stages.telemetry.set,
        interval=config.interval,
        monotonic=clock.monotonic,
        odd=np.array([secrets.randbits(64) | 1 for _ in range(words)], dtype=np.uint64),
        distributions=tuple(Distribution(each.family, each.bounds, each.per) for each in plan.histograms),
    )


def _render(plan: Plan, attributor: Attributor) -> Callable[[U64], Labels]:
    """How the key of an exported group becomes labels."""
    if plan.flow_folding:
        return lambda key: ss_exporter.flow(attributor.labels(key, plan.by), plan.flow_folding)
    return lambda key: attributor.labels(key, plan.by)


def _namespaces(
    config: Config,
    plan: Plan,
    program: Callable[[str], Program],
    telemetry: Telemetry,
    forget: Callable[[Iterable[str]], None],
) -> Namespaces:
    read = (*fields(plan), *rule_fields(config))
    families = [AddressFamily[name.upper()] for name in config.collect.families]
    congestion = "congestion" in plan.by or any(rule.congestions for rule in rules(config))

    def open_reader(namespace: Namespace) -> Collector:
        inside = partial(namespace.call, open_diag_socket) if namespace.name else open_diag_socket
        listen = partial(ClosedFlows, families, read, loopback=config.collect.loopback, open_socket=inside)
        with ExitStack() as opened:
            # A namespace that may not be entered shall be known now.
            dumper = opened.enter_context(Dumper(inside, first=inside(), most=most_sockets()))
            closed = listen(max_bytes=most_event_bytes()) if config.collect.closed_flows else None
            opened.pop_all()
        return Collector(
            dumper,
            closed,
            telemetry,
            families=families,
            fields=read,
            congestion=congestion,
            program=partial(program, namespace.name),
        )

    nothing = Sockets.none({field.name: field.dtype for field in read})
    return Namespaces(config.collect.namespaces, open_reader, forget, nothing)
