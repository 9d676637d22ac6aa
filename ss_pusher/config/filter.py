"""The rules that keep and drop sockets."""

from typing import Annotated, Literal, TypeAlias, TypeVar

from msgspec import Meta

from ss_pusher.config.section import Section, at_least_one, at_most_one
from ss_pusher.config.values import Cidr, HostName, Mark, Name, Ports

Family: TypeAlias = Literal["ipv4", "ipv6"]

State: TypeAlias = Literal[
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
]

Uid: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 2)]
Pid: TypeAlias = Annotated[int, Meta(gt=0, le=2**22)]  # PID_MAX_LIMIT, include/linux/threads.h

_Item = TypeVar("_Item")
Some: TypeAlias = Annotated[tuple[_Item, ...], Meta(min_length=1)]
"""A list that may be left out, but not be empty: an empty one could mean none or all."""


class Conditions(Section, frozen=True, kw_only=True):
    """What a socket must be to match: every condition that is given, and of each list any element."""

    directions: Annotated[Some[Literal["in", "out"]], Meta(description="Who opened the connection: in or out.")] = ()
    remote_networks: Annotated[Some[Cidr], Meta(description="Networks that the peer's address is in.")] = ()
    local_networks: Annotated[Some[Cidr], Meta(description="Networks that this host's address is in.")] = ()
    hosts: Annotated[Some[HostName], Meta(description="Names of the peer; they are resolved again every minute.")] = ()
    service_ports: Annotated[Some[Ports], Meta(description="Ports of the server's side, whichever side that is.")] = ()
    local_ports: Annotated[Some[Ports], Meta(description="Ports of this host's side.")] = ()
    remote_ports: Annotated[Some[Ports], Meta(description="Ports of the peer's side.")] = ()
    units: Annotated[Some[Name], Meta(description="systemd units, such as nginx.service.")] = ()
    cgroups: Annotated[Some[Name], Meta(description="Paths of cgroups, such as /system.slice/nginx.service.")] = ()
    containers: Annotated[Some[Name], Meta(description="Containers, as the label container names them.")] = ()
    pods: Annotated[Some[Name], Meta(description="Kubernetes pods, as the label pod names them.")] = ()
    pids: Annotated[Some[Pid], Meta(description="Process ids.")] = ()
    commands: Annotated[Some[Name], Meta(description="Names of processes, as in /proc/PID/comm.")] = ()
    users: Annotated[Some[Name], Meta(description="Names of the sockets' owners.")] = ()
    uids: Annotated[Some[Uid], Meta(description="Numbers of the sockets' owners.")] = ()
    interfaces: Annotated[Some[Name], Meta(description="Interfaces that sockets are bound to.")] = ()
    families: Annotated[Some[Family], Meta(description="Address families: ipv4 or ipv6.")] = ()
    congestions: Annotated[Some[Name], Meta(description="Congestion controls, such as cubic or bbr.")] = ()
    states: Annotated[Some[State], Meta(description="TCP states, such as established or close_wait.")] = ()
    namespaces: Annotated[Some[Name], Meta(description="Network namespaces, as the label namespace names them.")] = ()
    marks: Annotated[Some[Mark], Meta(description="Marks of the sockets (SO_MARK).")] = ()


class Rule(Section, frozen=True, kw_only=True):
    """One rule: keep or drop what matches its conditions."""

    keep: Annotated[Conditions | None, Meta(description="Keep the sockets that match.")] = None
    drop: Annotated[Conditions | None, Meta(description="Drop the sockets that match.")] = None

    checks = (at_least_one("keep", "drop"), at_most_one("keep", "drop"))

    @property
    def keeps(self) -> bool:
        """Whether the rule keeps what matches, rather than dropping it."""
        return self.keep is not None

    @property
    def conditions(self) -> Conditions:
        """The conditions of either."""
        return self.keep or self.drop or Conditions()
