"""The whole configuration: every key with its type, its default and its description.

The sample, the reference and the loader are made from these declarations.
"""

from collections import Counter
from collections.abc import Mapping
from os import uname
from typing import Annotated, Literal

from msgspec import Meta, field

from ss_pusher.config.endpoint import Pushgateway, RemoteWrite
from ss_pusher.config.filter import Family, Rule
from ss_pusher.config.group import Group, GroupLabel, Prefix
from ss_pusher.config.metrics import Metrics
from ss_pusher.config.section import Check, Problems, Section
from ss_pusher.config.values import (
    DirectoryPath,
    Duration,
    LabelName,
    Listen,
    RankingName,
    Size,
    WebConfigPath,
)


class Collect(Section, frozen=True, kw_only=True):
    """Which sockets are read from the kernel."""

    families: Annotated[tuple[Family, ...], Meta(description="The address families to read.", min_length=1)] = (
        "ipv4",
        "ipv6",
    )
    loopback: Annotated[bool, Meta(description="Read also what stays on this host. Both ends of it are then seen.")] = (
        False
    )
    closed_flows: Annotated[
        bool, Meta(description="Count also flows that close between two ticks, by the kernel's own announcement.")
    ] = True
    namespaces: Annotated[
        tuple[Literal["self", "named", "all"], ...],
        Meta(
            description="Network namespaces: self, named (under /run/netns) or all. The last two need CAP_SYS_ADMIN.",
            min_length=1,
        ),
    ] = ("self",)


class Ranking(Section, frozen=True, kw_only=True):
    """Groups that are worth series of their own, by one measure."""

    by: Annotated[
        RankingName,
        Meta(
            description="throughput, retransmits, retransmit_ratio, rtt, rtt_inflation, flows, or any ss_flow_ metric."
        ),
    ]
    count: Annotated[int, Meta(description="How many groups it chooses.", gt=0)]


class Aggregate(Section, frozen=True, kw_only=True):
    """Prefixes that speak for addresses none of which matters by itself."""

    ipv4: Annotated[int | None, Meta(description="Bits of an IPv4 prefix; by default none is formed.", ge=1, le=31)] = (
        None
    )
    ipv6: Annotated[
        int | None, Meta(description="Bits of an IPv6 prefix; by default none is formed.", ge=1, le=127)
    ] = None


def _one_ranking_each(top: tuple[Ranking, ...]) -> Problems:
    for by, count in Counter(ranking.by for ranking in top).items():
        if count > 1:
            yield ("top",), f"ranks by {by} {count} times"


class Limit(Section, frozen=True, kw_only=True):
    """What keeps the number of series, and of new series, within bounds."""

    top: Annotated[
        tuple[Ranking, ...],
        Meta(description="A group is exported when one of these holds it; the rest adds up in `other`."),
    ] = (
        Ranking(by="throughput", count=50),
        Ranking(by="retransmits", count=20),
        Ranking(by="rtt", count=20),
    )
    hold: Annotated[
        int, Meta(description="A group leaves only after this many ticks below twice a ranking's count.", ge=0)
    ] = 4
    max_series: Annotated[int, Meta(description="Series in one push at most, everything counted.", gt=0)] = 10_000
    max_new_series_per_hour: Annotated[
        int, Meta(description="New series an hour at most, which is what costs a server most.", gt=0)
    ] = 20_000
    max_values: Annotated[
        Mapping[GroupLabel, Annotated[int, Meta(gt=0)]],
        Meta(description="Distinct values of one label at most.", examples=[{"remote_address": 500}]),
    ] = {}
    aggregate: Annotated[
        Aggregate,
        Meta(
            description="Export a prefix when it as a whole matters and none of its addresses does.",
            examples=[{"ipv4": 24, "ipv6": 48}],
        ),
    ] = Aggregate()

    checks = (Check(("top",), _one_ranking_each),)


class Expose(Section, frozen=True, kw_only=True):
    """For those who can be scraped after all."""

    listen_address: Annotated[
        Listen,
        Meta(description="Serve /metrics and /health here, like 127.0.0.1:8090; empty opens no socket."),
    ] = None
    web_config_file: Annotated[
        WebConfigPath,
        Meta(description="Passwords and TLS in Prometheus' web configuration file (docs/expose.md); empty: neither."),
    ] = None


class Spool(Section, frozen=True, kw_only=True):
    """Where samples wait for an endpoint that is away. Without a directory they wait in memory."""

    directory: Annotated[
        DirectoryPath, Meta(description="A directory that only this agent uses; empty keeps samples in memory.")
    ] = None
    max_bytes: Annotated[
        Size,
        Meta(description="Room for each endpoint; the oldest samples make way. In memory see docs/service.md.", gt=0),
    ] = 2**28
    max_age: Annotated[Duration, Meta(description="What is older makes way too.", gt=0)] = 21600.0


def _max_values_of_group_labels(max_values: Mapping[str, int], by: tuple[str, ...]) -> Problems:
    for label in max_values:
        if label not in by:
            yield ("limit", "max_values", label), "is not in group.by"


def _aggregate_is_wider(aggregate: Aggregate, prefix: Prefix, by: tuple[str, ...]) -> Problems:
    for family, wide, narrow in (("ipv4", aggregate.ipv4, prefix.ipv4), ("ipv6", aggregate.ipv6, prefix.ipv6)):
        if wide is not None and wide >= narrow:
            yield ("limit", "aggregate", family), f"must be less than the {narrow} of group.prefix"
        if wide is not None and "remote_address" not in by:
            yield ("limit", "aggregate", family), "needs remote_address in group.by"


def _external_labels_are_free(external_labels: Mapping[str, str], by: tuple[str, ...]) -> Problems:
    for label, value in external_labels.items():
        if label in by:
            yield ("external_labels", label), "is also in group.by; give one of them another name"
        if "\0" in value:
            yield ("external_labels", label), "holds a NUL character, which servers refuse or cut"
        if not value:
            yield ("external_labels", label), "is empty, which means no label at all; leave it out"


def _flow_is_free(external_labels: Mapping[str, str], preset: str) -> Problems:
    if preset == "ss_exporter" and "flow" in external_labels:
        yield ("external_labels", "flow"), "is also the label of the preset ss_exporter; choose another name"


def _names_differ(endpoints: tuple[RemoteWrite, ...]) -> Problems:
    seen: set[str] = set()
    for position, endpoint in enumerate(endpoints):
        if endpoint.name in seen:
            yield ("remote_write", position, "name"), "is the name of an earlier block too; choose another"
        if endpoint.name is not None:
            seen.add(endpoint.name)


class Config(Section, frozen=True, kw_only=True):
    """The whole file. An empty mapping, `{}`, means every default, and nowhere to send to."""

    interval: Annotated[Duration, Meta(description="How often the sockets are read and pushed.", ge=0.01, le=86400)] = (
        15.0
    )
    external_labels: Annotated[
        Mapping[LabelName, str],
        Meta(
            description="Labels of every series. They must tell this host from every other one.",
            extra={"default": {"job": "ss_pusher", "instance": "${HOSTNAME}"}},
        ),
    ] = field(default_factory=lambda: {"job": "ss_pusher", "instance": uname().nodename})
    collect: Annotated[Collect, Meta(description="Which sockets are read from the kernel.")] = Collect()
    filter: Annotated[
        tuple[Rule, ...],
        Meta(
            description="The first rule that matches a socket decides; if none does, it is kept. {} matches all.",
            examples=[
                [
                    {"drop": {"remote_networks": ["169.254.0.0/16"]}},
                    {"keep": {"units": ["nginx.service"], "service_ports": [443, "8000-8999"]}},
                    {"drop": {}},
                ]
            ],
        ),
    ] = ()
    group: Annotated[Group, Meta(description="Which flows are one group, and so one set of series.")] = Group()
    limit: Annotated[Limit, Meta(description="What keeps the number of series, and of new series, within bounds.")] = (
        Limit()
    )
    metrics: Annotated[Metrics, Meta(description="Which metrics are exported.")] = Metrics()
    remote_write: Annotated[
        tuple[RemoteWrite, ...],
        Meta(description="Servers that take Prometheus remote write. The keys are Prometheus' own."),
    ] = ()
    pushgateway: Annotated[
        tuple[Pushgateway, ...], Meta(description="Pushgateways. Each push of the agent replaces the whole group.")
    ] = ()
    expose: Annotated[Expose, Meta(description="For those who can be scraped after all.")] = Expose()
    spool: Annotated[Spool, Meta(description="Where samples wait for an endpoint that is away.")] = Spool()
    shutdown_deadline: Annotated[
        Duration, Meta(description="How long the last push may take when the command is told to end.", gt=0)
    ] = 5.0

    checks = (
        Check(("limit.max_values", "group.by"), _max_values_of_group_labels),
        Check(("limit.aggregate", "group.prefix", "group.by"), _aggregate_is_wider),
        Check(("external_labels", "group.by"), _external_labels_are_free),
        Check(("external_labels", "metrics.preset"), _flow_is_free),
        Check(("remote_write",), _names_differ),
    )

    def has_sink(self) -> bool:
        """Whether anything is sent or served at all."""
        return bool(self.remote_write or self.pushgateway or self.expose.listen_address)
