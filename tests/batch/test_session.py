"""What a session tells of connections that end late, or too soon to be seen."""

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ss_pusher.app.batch import Session
from ss_pusher.attribute.process import socket_inodes
from ss_pusher.batch.outcome import Outcome
from ss_pusher.batch.sockets import JobSockets
from ss_pusher.batch.tree import ProcessTree
from ss_pusher.config import parse
from ss_pusher.model import Snapshot
from tests.batch.jobs import NOBODY, peer, python, talk
from tests.end_to_end.connections import announced
from tests.hosts import Host
from tests.waiting import wait_for

OUTCOME = Outcome(end=1, duration=1, exit_code=0, max_resident_bytes=1, cpu_seconds=0)
HASTY = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sys.stdin.readline()
connection.setblocking(False)
print(connection.send(bytes(4 << 20)))
"""
"""Sends when it is told to what the kernel takes, and ends at once: the kernel goes on sending without it."""


def _nothing() -> None:
    pass


class Watched(Session):
    """A session over what this process starts, from which nothing is pushed. `meanwhile` is called after the end."""

    def __init__(self) -> None:
        config = parse(b"{collect: {loopback: true}}", "test", directory=Path()).config
        tree = ProcessTree(os.getpid(), partial(socket_inodes, Path("/proc")), with_root=False)
        ours = set(socket_inodes(Path("/proc"), os.getpid()))
        super().__init__(lambda: config, JobSockets(tree, lambda: ours, list))
        self.meanwhile: Callable[[], None] = _nothing

    def _open(self) -> None:
        self.meanwhile()
        super()._open()

    @property
    def snapshot(self) -> Snapshot:
        assert self._watch
        assert self._watch.snapshot
        return self._watch.snapshot

    def looked(self, port: int) -> bool:
        """Whether a look showed a connection to that port."""
        return any((sockets.remote_port == port).any() for sockets in self._sockets._looked.values())

    def sent(self, port: int) -> float:
        """What was sent to that port, as the last tick has it."""
        found: list[float] = [
            value
            for block in self.snapshot.blocks
            for family, values in zip(block.families, block.values, strict=True)
            if family.name == "ss_flow_sent_bytes_total"
            for labels, value in zip(block.labels, values.tolist(), strict=True)
            if {("service_port", str(port)), ("direction", "out")} <= set(labels)
        ]
        return sum(found)


def test_what_was_on_its_way_when_the_job_ended_is_told_too() -> None:
    session = Watched()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # most of it has to wait at the sender
        read = threading.Event()

        def listen() -> None:
            connection, _ = server.accept()
            with connection:
                read.wait(20)
                while connection.recv(1 << 20):
                    pass

        reader = threading.Thread(target=listen)
        reader.start()

        def meanwhile() -> None:
            before.append(session.sent(port))
            read.set()
            reader.join(20)

        before: list[float] = []
        port = server.getsockname()[1]
        session.meanwhile = meanwhile
        session.start(5)
        with subprocess.Popen(python(HASTY, port), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
            wait_for(lambda: session.looked(port), "the connection was seen")
            count = int(job.communicate(b"\n")[0])
        session.finish(OUTCOME)
        assert before[0] < count
        assert session.sent(port) == count


def test_an_end_that_is_announced_late_is_waited_for() -> None:
    session, held_back = Watched(), 3
    with socket.create_server(("127.0.0.1", 0)) as server:
        session.start(5)
        watch = session._watch
        assert watch
        wait_for(lambda: watch.snapshot, "the first tick")
        closed, (nothing, _) = watch._collect.closed, watch._collect.closed()

        def late() -> Any:
            nonlocal held_back
            held_back -= session._over.is_set()
            return (nothing, True) if held_back >= 0 else closed()

        watch._collect.closed = late  # type: ignore[method-assign]  # the kernel is busy
        port = server.getsockname()[1]
        with subprocess.Popen(python(HASTY, port), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
            connection, _ = server.accept()
            wait_for(lambda: session.looked(port), "the connection was seen")
            assert job.stdin
            job.stdin.write(b"\n")
            job.stdin.close()
            received = 0
            while piece := connection.recv(1 << 20):
                received += len(piece)
            connection.close()
        session.finish(OUTCOME)
    assert session.sent(port) == received > 0


@pytest.mark.parametrize("others", [0, 3])
def test_connections_that_are_never_seen_are_counted_as_unknown(host: Host, others: int) -> None:
    """A host of its own, where nobody else talks; both ends of each connection are its."""

    def run() -> int | None:
        session = Watched()
        with socket.create_server(("127.0.0.1", 0)) as server:
            session.start(5)
            watch = session._watch
            assert watch
            wait_for(lambda: watch.snapshot, "the first tick")
            watch.look = lambda **_: False  # type: ignore[method-assign]  # nobody looks between the ticks
            with announced(host, server.getsockname()[1], ends=2 * others):
                for _ in range(others):
                    socket.create_connection(server.getsockname()).close()
                    server.accept()[0].close()
            session.finish(OUTCOME)
            return watch.unattributed()

    assert host.call(run) == 2 * others


def test_a_job_of_many_short_connections_is_told_or_counted_as_unknown() -> None:
    """None is silently left out."""
    session = Watched()
    with peer() as ours:
        session.start(5)
        for _ in range(3):
            subprocess.run(talk(ours.port, 10, watcher=NOBODY), check=True)
        session.finish(OUTCOME)
        assert session._watch
        unknown = session._watch.unattributed()
        assert unknown is not None
        assert session.sent(ours.port) / 10 + unknown >= 3
