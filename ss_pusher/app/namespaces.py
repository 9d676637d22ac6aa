"""Reads every network namespace that is wanted, each with sockets of its own, as they come and go."""

import logging
import socket
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from ss_pusher.errors import CollectError
from ss_pusher.model import Sockets
from ss_pusher.netlink.namespaces import Namespace, find, own

logger = logging.getLogger(__name__)

_ODD: Final = 0x9E37_79B9_7F4A_7C15
_WORD: Final = 0xFFFF_FFFF_FFFF_FFFF


class Reader(Protocol):
    """Reads one namespace; `app.collector.Collector` is one."""

    def dump(self) -> Sockets:
        """All sockets, or CollectError."""

    def closed(self) -> tuple[Sockets, bool]:
        """The sockets that were destroyed since the last call, and whether these are all."""

    def close(self) -> None:
        """Give the sockets back."""


@dataclass(frozen=True)
class _Open:
    """A namespace that is read. While it is, the kernel keeps it: its sockets do not let go of it."""

    namespace: Namespace
    reader: Reader

    def named(self, sockets: Sockets) -> tuple[str, Sockets]:
        """The sockets, with cookies that no other namespace has: before Linux 5.12 each counted its own from 1."""
        if not self.namespace.name:
            return "", sockets
        word = np.uint64(self.namespace.inode * _ODD & _WORD)
        return self.namespace.name, replace(sockets, cookie=sockets.cookie ^ word)


class Namespaces:
    """All that are wanted, looked for before each dump.

    One that goes away is read in two more ticks: the kernel announces the end of a socket after it is gone.
    """

    def __init__(
        self,
        wanted: Collection[str],
        open_reader: Callable[[Namespace], Reader],
        forget: Callable[[Iterable[str]], None],
        nothing: Sockets,
    ) -> None:
        """`open_reader` reads a namespace from now on; `forget` hears of the names of those that went away.

        `nothing` is what is read where no namespace is.

        Raises:
            CollectError: the own namespace cannot be read.
            UnsupportedHostError: no namespace can.
        """
        self._wanted: Final = frozenset(wanted)
        self._open_reader: Final = open_reader
        self._forget: Final = forget
        self._nothing: Final = nothing
        self._own: Final = own()
        self._open: dict[int, _Open] = {}
        self._gone: dict[int, _Open] = {}  # since the last tick
        self._left: dict[int, _Open] = {}  # since the one before, and read once since then
        self._failed = False  # what was destroyed since the last tick is not known in full any more
        self._refused: set[int] = set()
        with ExitStack() as opened:
            opened.callback(self.close)
            self._look()
            opened.pop_all()

    def dump(self) -> list[tuple[str, Sockets]]:
        """The name and the sockets of each. Raises CollectError if one that is still there cannot be read."""
        if self._wanted != {"self"}:
            self._look()
        last = [part for gone in self._going() for part in _last_words(gone)]
        return [*last, *map(self._dump, list(self._open.values()))] or [("", self._nothing)]

    def closed(self) -> tuple[list[tuple[str, Sockets]], bool]:
        """What was destroyed in each since the last call, after its dump; and whether that is all.

        Raises:
            CollectError: one cannot tell; the next call says that it is not all.
        """
        parts, whole = [], not self._failed
        self._failed = True  # if one cannot tell, what others have told is lost
        for one in (*self._going(), *self._open.values()):
            sockets, complete = one.reader.closed()
            parts.append(one.named(sockets))
            whole &= complete
        self._failed = False
        self._let_go()
        return parts or [("", self._nothing)], whole

    def interfaces(self, name: str) -> list[tuple[int, str]]:
        """All (index, name) of the interfaces of a namespace; none of one that went away."""
        for one in self._open.values():
            if one.namespace.name == name:
                return one.namespace.call(socket.if_nameindex) if name else socket.if_nameindex()
        return []

    def close(self) -> None:
        """Let go of all."""
        for one in (*self._going(), *self._open.values()):
            one.reader.close()

    def _going(self) -> list[_Open]:
        return [*self._left.values(), *self._gone.values()]

    def _dump(self, one: _Open) -> tuple[str, Sockets]:
        try:
            return one.named(one.reader.dump())
        except CollectError:
            if one.namespace.name:  # the way into it may have changed: it is found anew
                one.reader.close()
                del self._open[one.namespace.inode]
                self._failed = True
            raise

    def _look(self) -> None:
        there = {namespace.inode: namespace for namespace in find(self._wanted, self._own)}
        known = self._left | self._gone | self._open
        self._gone |= {inode: one for inode, one in self._open.items() if inode not in there}
        # One may come back: it was only renamed.
        self._open = {inode: replace(one, namespace=there[inode]) for inode, one in known.items() if inode in there}
        for inode in self._open:
            self._gone.pop(inode, None)
            self._left.pop(inode, None)
        self._refused &= there.keys()
        for inode, namespace in there.items():
            if inode not in self._open:
                self._enter(namespace)

    def _enter(self, namespace: Namespace) -> None:
        try:
            reader = self._open_reader(namespace)
        except FileNotFoundError:  # it went away since it was found
            return
        except OSError as error:
            if namespace.inode not in self._refused:
                logger.warning("network namespace %s cannot be entered: %s", namespace.name, error)
            self._refused.add(namespace.inode)
            return
        self._open[namespace.inode] = _Open(namespace, reader)

    def _let_go(self) -> None:
        for one in self._left.values():
            one.reader.close()
        names = {one.namespace.name for one in self._left.values()}
        self._left, self._gone = self._gone, {}
        if names:
            self._forget(names - {one.namespace.name for one in self._open.values()})


def _last_words(gone: _Open) -> list[tuple[str, Sockets]]:
    try:
        return [gone.named(gone.reader.dump())]
    except CollectError:  # it is really gone
        return []
