"""The filters of a configuration: what the kernel applies before the read, and what is decided after it."""

from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_network
from typing import Final

import numpy as np

from ss_pusher import filter as rule_filter
from ss_pusher.addresses import Address
from ss_pusher.app.privilege import CAP_NET_ADMIN, has
from ss_pusher.attribute.attributes import Attributes
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.attribute.resolver import Resolver
from ss_pusher.loopback import stays_on_host
from ss_pusher.model import I64, Bools, Rule, Sockets
from ss_pusher.netlink.filter import Known, Program, compile_rules

_LOOPBACK: Final = Rule(keeps=False, remote_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
_FIRST_ANSWERS_SECONDS: Final = 5.0


class Filtering:
    """Loopback first, where it is not wanted, then the rules in their order. Resolves the hosts that rules name."""

    def __init__(self, rules: Sequence[Rule], attributor: Attributor, *, loopback: bool, closed_flows: bool) -> None:
        self._attributor: Final = attributor
        self._loopback: Final = loopback
        self._closed_flows: Final = closed_flows
        self._hosts: Mapping[str, Collection[Address]] = {}
        self._begin(rules, known={})

    def close(self) -> None:
        """Resolve no more."""
        self._resolver.close()

    def change(self, rules: Sequence[Rule]) -> None:
        """Other rules from the next `compile` on."""
        self._resolver.close()
        self._begin(rules, known=self._resolver.answers())

    def _begin(self, rules: Sequence[Rule], known: Mapping[str, frozenset[Address]]) -> None:
        self._rules = tuple(rules)
        self._resolver = Resolver((host for rule in rules for host in rule.hosts), known=known)
        self._resolver.start()
        self._resolver.wait(_FIRST_ANSWERS_SECONDS)

    def compile(self, namespace: str = "") -> Program:
        """The rules as far as the kernel can apply them to the next dump of a network namespace.

        What is known of names now, and of hosts, holds until the next call.
        """
        self._hosts = self._resolver.answers()
        known = Known(
            closed_flows=self._closed_flows,
            net_admin=has(CAP_NET_ADMIN),
            hosts=self._hosts,
            cgroups=self._attributor.cgroups(),
            namespace=namespace,
            interfaces=self._attributor.interfaces(namespace),
        )
        return compile_rules(self.rules, known)

    def keep(self, sockets: Sockets, attributes: Attributes) -> Bools:
        """Bool[n]: what counts of the dump that was asked for by the last `compile`, and of its closed flows."""
        kept = rule_filter.keep(sockets, attributes, self._rules, self._hosts).kept
        return kept if self._loopback else kept & ~stays_on_host(sockets)

    def decided(self, sockets: Sockets, attributes: Attributes) -> I64:
        """I64[rules]: how many of the sockets each of `rules` was the first to match, as `keep` decides."""
        if self._loopback:
            return rule_filter.keep(sockets, attributes, self._rules, self._hosts).decided
        home = stays_on_host(sockets)
        beyond = rule_filter.keep(sockets.take(~home), attributes.take(~home), self._rules, self._hosts).decided
        return np.append(np.count_nonzero(home), beyond)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules in their order, the one about loopback included."""
        return self._rules if self._loopback else (_LOOPBACK, *self._rules)
