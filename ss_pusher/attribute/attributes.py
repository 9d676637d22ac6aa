"""The labels of one batch of sockets as columns of words, each computed when it is first asked for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ss_pusher import addresses
from ss_pusher.attribute.cgroup import Cgroup, Cgroups
from ss_pusher.attribute.interfaces import Interfaces
from ss_pusher.attribute.listeners import Listeners
from ss_pusher.attribute.names import Names
from ss_pusher.attribute.networks import WIDTH, Networks, Prefix, folded
from ss_pusher.attribute.process import Processes
from ss_pusher.attribute.users import Users
from ss_pusher.model import U64, AddressFamily, Bools, Column, Direction, KeyPart, Rows, Sockets


@dataclass(frozen=True, slots=True)
class Caches:
    """What the columns are computed with. Listeners and interfaces are those of the batch's network namespace."""

    names: Names
    cgroups: Cgroups
    processes: Processes
    users: Users
    networks: Networks
    prefix: Prefix
    listeners: Listeners
    interfaces: Interfaces


class Attributes:
    """The labels of `sockets`, rows in the same order. Use it before the next dump is observed."""

    def __init__(self, sockets: Sockets, namespace: str, caches: Caches) -> None:
        self.sockets = sockets
        self.namespace = namespace
        self.caches = caches
        self._columns: dict[str, U64] = {}

    def __len__(self) -> int:
        return len(self.sockets)

    def column(self, label: str) -> U64:
        """U64[n, width]: the label's value in words. Equal values have equal words; an empty value is 0."""
        if label not in self._columns:
            words = LABELS[label].column(self)
            self._columns[label] = words.reshape(len(self), LABELS[label].width).astype(np.uint64, copy=False)
        return self._columns[label]

    def keys(self, by: Sequence[str]) -> U64:
        """U64[n, words]: each row's key, the columns of `by` side by side, as `layout` says."""
        # Each word stands in one piece: what comes after works word by word.
        return np.concatenate([np.empty((0, len(self)), np.uint64), *(self.column(label).T for label in by)]).T

    def texts(self, label: str, words: U64) -> list[str]:
        """The values that `words` [m, width] of this label stand for."""
        return [LABELS[label].text(self.caches.names, tuple(row)) for row in words.tolist()]

    def take(self, rows: Rows | Bools) -> "Attributes":
        """The given rows (indices or a mask); what was computed is not computed again."""
        part = Attributes(self.sockets.take(rows), self.namespace, self.caches)
        part._columns = {label: words[rows] for label, words in self._columns.items()}
        return part


@dataclass(frozen=True, slots=True)
class Label:
    """How a label is computed, [n] or [n, width], and how its words are written."""

    column: Callable[[Attributes], Column]
    text: Callable[[Names, tuple[int, ...]], str]
    width: int = 1


def layout(by: Sequence[str]) -> tuple[KeyPart, ...]:
    """Where each label of `by` stands in a key."""
    first = np.cumsum([0, *(LABELS[label].width for label in by)]).tolist()
    return tuple(KeyPart(label, start, LABELS[label].width) for label, start in zip(by, first, strict=False))


# ---- columns --------------------------------------------------------------------------------------------------------


def _direction(batch: Attributes) -> Column:
    return np.where(batch.caches.listeners.inbound(batch.sockets), Direction.IN, Direction.OUT)


def _inbound(batch: Attributes) -> Bools:
    inbound: Bools = batch.column("direction")[:, 0] == Direction.IN
    return inbound


def _service_port(batch: Attributes) -> Column:
    return np.where(_inbound(batch), batch.sockets.local_port, batch.sockets.remote_port)


def _cgroup_ids(batch: Attributes) -> U64:
    """U64[n]. Small sockets (TIME_WAIT, requests) and closed ones carry none: an inbound one has its listener's."""
    ids = batch.sockets.cgroup
    untold = np.flatnonzero(ids == 0)
    if len(untold):
        ids = ids.copy()
        ids[untold] = batch.caches.listeners.cgroups(batch.sockets.take(untold))
    return ids


def _of_cgroup(choose: Callable[[Cgroup], str]) -> Callable[[Attributes], Column]:
    def column(batch: Attributes) -> Column:
        # A listener's cgroup is named while it is there: the last flow may come from the kernel after it is gone.
        batch.caches.cgroups.look_up(batch.caches.listeners.every_cgroup())
        ids, rows = np.unique(_cgroup_ids(batch), return_inverse=True)
        return _words(batch, map(choose, batch.caches.cgroups.look_up(ids.tolist())))[rows]

    return column


def _remote_network(batch: Attributes) -> Column:
    networks = batch.caches.networks
    return _words(batch, ["", *networks.names])[networks.table.lookup(batch.sockets.remote)]


def _pid(batch: Attributes) -> Column:
    return batch.caches.processes.look_up(batch.sockets.inode)


def _command(batch: Attributes) -> Column:
    pids, rows = np.unique(batch.column("pid")[:, 0], return_inverse=True)
    return _words(batch, map(batch.caches.processes.command, pids.tolist()))[rows]


def _user(batch: Attributes) -> Column:
    """A socket without an inode has no owner any more, and the kernel's 0 does not mean root."""
    batch.caches.users.refresh()
    uids, rows = np.unique(batch.sockets.uid, return_inverse=True)
    words = _words(batch, map(batch.caches.users.name, uids.tolist()))
    return np.where(batch.sockets.inode == 0, np.uint64(0), words[rows])


def _interface(batch: Attributes) -> Column:
    indices, rows = np.unique(batch.sockets.interface, return_inverse=True)
    return _words(batch, batch.caches.interfaces.look_up(indices.tolist()))[rows]


def _congestion(batch: Attributes) -> Column:
    """Compared as two words: numpy orders strings far slower than integers."""
    halves = np.ascontiguousarray(batch.sockets.congestion, "S16").view(np.uint64).reshape(-1, 2)
    _, first, rows = np.unique(halves[:, 0] ^ (halves[:, 1] * _ODD), return_index=True, return_inverse=True)
    return _words(batch, (name.decode() for name in batch.sockets.congestion[first].tolist()))[rows]


def _namespace(batch: Attributes) -> Column:
    return np.full(len(batch), batch.caches.names.word(batch.namespace), np.uint64)


def _words(batch: Attributes, names: Iterable[str]) -> U64:
    return np.fromiter(map(batch.caches.names.word, names), np.uint64)


# ---- texts ----------------------------------------------------------------------------------------------------------


def _name(names: Names, words: tuple[int, ...]) -> str:
    return names.name(words[0])


def _number(_names: Names, words: tuple[int, ...]) -> str:
    return str(words[0]) if words[0] else ""


def _address(_names: Names, words: tuple[int, ...]) -> str:
    return addresses.text(*words)


_ODD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)

LABELS: Final = {
    "direction": Label(_direction, lambda _, words: Direction(words[0]).name.lower()),
    "local_address": Label(lambda b: folded(b.sockets.local, b.sockets.family, Prefix()), _address, WIDTH),
    "local_port": Label(lambda b: b.sockets.local_port, _number),
    "remote_address": Label(lambda b: folded(b.sockets.remote, b.sockets.family, b.caches.prefix), _address, WIDTH),
    "remote_network": Label(_remote_network, _name),
    "remote_port": Label(lambda b: b.sockets.remote_port, _number),
    "service_port": Label(_service_port, _number),
    "unit": Label(_of_cgroup(lambda cgroup: cgroup.unit), _name),
    "cgroup": Label(_of_cgroup(lambda cgroup: cgroup.path), _name),
    "container": Label(_of_cgroup(lambda cgroup: cgroup.container), _name),
    "pod": Label(_of_cgroup(lambda cgroup: cgroup.pod), _name),
    "pid": Label(_pid, _number),
    "command": Label(_command, _name),
    "user": Label(_user, _name),
    "interface": Label(_interface, _name),
    "family": Label(lambda b: b.sockets.family, lambda _, words: AddressFamily(words[0]).name.lower()),
    "congestion": Label(_congestion, _name),
    "namespace": Label(_namespace, _name),
}
"""Every label that `group.by` takes."""
