"""The attribution: the caches behind the labels, and the ways from a dump to columns and from a key to labels."""

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ss_pusher.addresses import Network
from ss_pusher.attribute.attributes import LABELS, Attributes, Caches, layout
from ss_pusher.attribute.cgroup import Cgroup, Cgroups
from ss_pusher.attribute.interfaces import Interfaces
from ss_pusher.attribute.listeners import Listeners
from ss_pusher.attribute.names import Names
from ss_pusher.attribute.networks import Networks, Prefix
from ss_pusher.attribute.process import Processes
from ss_pusher.attribute.users import Users
from ss_pusher.model import OTHER, OTHER_WORD, U64, KeyPart, Labels, Sockets

NO_NETWORKS: Final[Mapping[str, Sequence[Network]]] = MappingProxyType({})
FULL: Final = Prefix()


def own_interfaces(_namespace: str) -> Iterable[tuple[int, str]]:
    """All (index, name) in the network namespace of this thread."""
    return socket.if_nameindex()


class Attributor:
    """Names sockets, and keeps what it learned for the next tick: one of the owners of state, used by one thread.

    `networks` are the ranges behind the label remote_network; `prefix` folds remote_address. `root` stands before
    /proc, /sys and /etc. `clock` gives monotonic seconds. `interfaces` reads (index, name) of the interfaces of a
    network namespace, by the name under which its dumps are handed in.
    """

    def __init__(
        self,
        *,
        networks: Mapping[str, Sequence[Network]] = NO_NETWORKS,
        prefix: Prefix = FULL,
        root: Path = Path("/"),
        clock: Callable[[], float] = time.monotonic,
        interfaces: Callable[[str], Iterable[tuple[int, str]]] = own_interfaces,
    ) -> None:
        self._clock = clock
        self._read_interfaces = interfaces
        self._names = Names()
        self._cgroups = Cgroups(root, clock)
        self._processes = Processes(root, clock)
        self._users = Users(root)
        self._networks = Networks.of(networks)
        self._prefix = prefix
        self._namespaces: dict[str, tuple[Listeners, Interfaces]] = {}

    def observe(self, sockets: Sockets, namespace: str = "") -> None:
        """Learn from one whole dump of a namespace, LISTEN rows and all: once a tick, before `attribute`."""
        listeners, _ = self._namespace(namespace)
        listeners.observe(sockets, self._clock())
        self._processes.observe(sockets.inode, namespace)

    def attribute(self, sockets: Sockets, namespace: str = "") -> Attributes:
        """The labels of these sockets: of the dump last observed, or closed ones, which carry less."""
        listeners, interfaces = self._namespace(namespace)
        caches = Caches(
            names=self._names,
            cgroups=self._cgroups,
            processes=self._processes,
            users=self._users,
            networks=self._networks,
            prefix=self._prefix,
            listeners=listeners,
            interfaces=interfaces,
        )
        return Attributes(sockets, namespace, caches)

    def layout(self, by: Sequence[str]) -> tuple[KeyPart, ...]:
        """Where each label of `by` stands in a key."""
        return layout(by)

    def labels(self, key: U64, by: Sequence[str]) -> Labels:
        """What `key` [words] says, sorted by label; labels without a value are left out."""
        words: list[int] = key.tolist()
        pairs = ((part.label, self._text(part, words)) for part in layout(by))
        return tuple(sorted((label, text) for label, text in pairs if text))

    def _text(self, part: KeyPart, words: Sequence[int]) -> str:
        own = tuple(words[part.first : part.first + part.width])
        return OTHER if own[-1] == OTHER_WORD else LABELS[part.label].text(self._names, own)

    def forget(self, namespaces: Iterable[str]) -> None:
        """Drop what was learned of network namespaces that went away."""
        for namespace in namespaces:
            self._namespaces.pop(namespace, None)
            self._processes.forget(namespace)

    def cgroups(self) -> Mapping[int, Cgroup]:
        """The cgroups that sockets were lately in, by id: what a filter can tell the kernel."""
        return self._cgroups.known()

    def interfaces(self, namespace: str = "") -> Mapping[int, str]:
        """The interfaces of a network namespace by index: the same."""
        _, interfaces = self._namespace(namespace)
        return interfaces.all()

    def _namespace(self, name: str) -> tuple[Listeners, Interfaces]:
        if name not in self._namespaces:
            interfaces = Interfaces(partial(self._read_interfaces, name), self._clock)
            self._namespaces[name] = Listeners(), interfaces
        return self._namespaces[name]
