"""Which namespaces are read, and what becomes of one that fails, with readers that the tests script."""

import logging
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ss_pusher.app.namespaces import Namespaces
from ss_pusher.errors import CollectError
from ss_pusher.model import Sockets
from ss_pusher.netlink.namespaces import Namespace
from tests.attribute.rows import row, table
from tests.hosts import Host, single

NOTHING = Sockets.none({})


@dataclass
class Scripted:
    """A reader that gives sockets with these cookies, and fails in a dump or in telling of closes as often as told."""

    cookies: list[int]
    failures: int = 0
    silences: int = 0
    taken: list[str] = field(default_factory=list)

    def dump(self) -> Sockets:
        self.taken.append("dump")
        if self.failures:
            self.failures -= 1
            raise CollectError("scripted")
        return self.sockets()

    def closed(self) -> tuple[Sockets, bool]:
        self.taken.append("closed")
        if self.silences:
            self.silences -= 1
            raise CollectError("scripted")
        return self.sockets(), True

    def close(self) -> None:
        self.taken.append("close")

    def sockets(self) -> Sockets:
        return table(*(row("10.0.0.1:80", "10.0.0.2:9", cookie=cookie) for cookie in self.cookies))


@dataclass
class Scene:
    """Namespaces read by scripted readers, by their names."""

    make: Callable[[Namespace], Scripted]
    readers: dict[str, list[Scripted]] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)

    def read(self, *wanted: str) -> Namespaces:
        return Namespaces(wanted, self._open, self.forgotten.update, NOTHING)

    def _open(self, namespace: Namespace) -> Scripted:
        reader = self.make(namespace)
        self.readers.setdefault(namespace.name, []).append(reader)
        return reader


def cookies(parts: list[tuple[str, Sockets]], *names: str) -> list[list[int]]:
    by_name = {name: sockets.cookie.tolist() for name, sockets in parts}
    return [by_name[name] for name in names]


def test_the_own_namespace_alone_is_read_as_it_is() -> None:
    scene = Scene(lambda _: Scripted([1, 2]))
    namespaces = scene.read("self")
    assert cookies(namespaces.dump(), "") == [[1, 2]]
    parts, complete = namespaces.closed()
    assert (cookies(parts, ""), complete) == ([[1, 2]], True)
    assert list(scene.readers) == [""]


def test_cookies_that_several_namespaces_count_for_themselves_are_kept_apart() -> None:
    with single() as one, single() as two:
        namespaces = Scene(lambda _: Scripted([1, 2, 3])).read("self", "named")
        names = ("", one.name, two.name)
        dumped = cookies(namespaces.dump(), *names)
        closed = cookies(namespaces.closed()[0], *names)
    assert dumped == closed
    assert dumped[0] == [1, 2, 3]
    assert len({cookie for of_one in dumped for cookie in of_one}) == 9


def test_one_that_goes_away_is_read_in_two_more_ticks_and_forgotten() -> None:
    scene = Scene(lambda _: Scripted([1]))
    with single() as short:
        namespaces = scene.read("named")
        namespaces.dump()
        namespaces.closed()
    (reader,) = scene.readers[short.name]
    reader.taken.clear()
    for _ in range(2):
        assert not scene.forgotten
        assert short.name in dict(namespaces.dump())
        assert short.name in dict(namespaces.closed()[0])
    assert reader.taken == ["dump", "closed", "dump", "closed", "close"]
    assert scene.forgotten == {short.name}
    assert short.name not in dict(namespaces.dump())


@pytest.mark.parametrize("ticks_away", [0, 1])
def test_one_whose_name_was_away_for_a_moment_goes_on(host: Host, tmp_path: Path, ticks_away: int) -> None:
    scene = Scene(lambda _: Scripted([1]))
    kept, there = tmp_path / "kept", Path("/run/netns", host.name)
    kept.touch()
    subprocess.run(["mount", "--bind", there, kept], check=True)
    try:
        namespaces = scene.read("named")
        namespaces.dump()
        namespaces.closed()
        subprocess.run(["umount", there], check=True)
        for _ in range(ticks_away):
            assert host.name in dict(namespaces.dump())
            namespaces.closed()
        subprocess.run(["mount", "--bind", kept, there], check=True)
    finally:
        subprocess.run(["umount", kept], check=True)
    dumped = [name for name, _ in namespaces.dump()]
    assert dumped.count(host.name) == 1
    namespaces.closed()
    assert scene.readers[host.name][0].taken[-1] == "closed"
    assert not scene.forgotten


def test_one_that_goes_away_and_cannot_be_read_is_no_error() -> None:
    scene = Scene(lambda _: Scripted([1]))
    with single() as short:
        namespaces = scene.read("named")
    scene.readers[short.name][0].failures = 1
    assert short.name not in dict(namespaces.dump())
    namespaces.closed()
    namespaces.dump()
    namespaces.closed()
    assert scene.readers[short.name][0].taken[-1] == "close"


def test_one_that_is_there_and_cannot_be_read_fails_the_tick_and_is_entered_anew(host: Host) -> None:
    scene = Scene(lambda _: Scripted([1]))
    namespaces = scene.read("self", "named")
    scene.readers[host.name][0].failures = 1
    with pytest.raises(CollectError):
        namespaces.dump()
    assert scene.readers[host.name][0].taken == ["dump", "close"]
    assert host.name in dict(namespaces.dump())
    assert len(scene.readers[host.name]) == 2
    assert not namespaces.closed()[1]  # what the first reader had heard is lost
    namespaces.dump()
    assert namespaces.closed()[1]


def test_when_one_cannot_tell_what_closed_what_the_others_told_is_lost_and_said_to_be(host: Host) -> None:
    scene = Scene(lambda _: Scripted([1]))
    namespaces = scene.read("self", "named")
    scene.readers[host.name][0].silences = 1
    namespaces.dump()
    with pytest.raises(CollectError):
        namespaces.closed()
    namespaces.dump()
    assert not namespaces.closed()[1]
    namespaces.dump()
    assert namespaces.closed()[1]


def test_what_was_opened_is_closed_when_one_refuses(host: Host) -> None:
    def refuse(namespace: Namespace) -> Scripted:
        if namespace.name == host.name:
            raise CollectError("scripted")
        return Scripted([1])

    scene = Scene(refuse)
    with pytest.raises(CollectError):
        scene.read("self", "named")
    assert scene.readers[""][0].taken == ["close"]


def test_the_own_one_fails_the_tick_and_keeps_its_reader() -> None:
    scene = Scene(lambda _: Scripted([1], failures=1))
    namespaces = scene.read("self")
    with pytest.raises(CollectError):
        namespaces.dump()
    assert cookies(namespaces.dump(), "") == [[1]]
    assert namespaces.closed()[1]


def test_one_that_may_not_be_entered_is_left_out_and_said_once(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(namespace: Namespace) -> Scripted:
        if namespace.name == host.name:
            raise PermissionError(1, "Operation not permitted")
        return Scripted([1])

    with caplog.at_level(logging.WARNING):
        namespaces = Scene(refuse).read("self", "named")
        assert host.name not in dict(namespaces.dump())
        namespaces.dump()
    assert [host.name in record.getMessage() for record in caplog.records] == [True]


def test_where_there_is_none_nothing_is_read() -> None:
    def gone(_namespace: Namespace) -> Scripted:
        raise FileNotFoundError

    namespaces = Scene(gone).read("named")
    assert [len(sockets) for _, sockets in namespaces.dump()] == [0]
    assert [len(sockets) for _, sockets in namespaces.closed()[0]] == [0]


def test_interfaces_are_those_of_the_namespace() -> None:
    with single() as one:
        namespaces = Scene(lambda _: Scripted([])).read("self", "named")
        assert [name for _, name in namespaces.interfaces(one.name)] == ["lo"]
        assert namespaces.interfaces("no such namespace") == []
        assert "lo" in dict(namespaces.interfaces("")).values()
