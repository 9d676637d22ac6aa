"""What an agent opens it gives back when it cannot be built, and what a tick reads it lets go of."""

import socket
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any, Never

import numpy as np
import pytest

from ss_pusher.app import build
from ss_pusher.app.build import build_agent
from ss_pusher.clock import Clock
from ss_pusher.errors import CollectError
from ss_pusher.model import Sockets
from ss_pusher.netlink.dump import open_diag_socket
from tests.config.parsing import config
from tests.end_to_end.connections import service
from tests.hosts import Host
from tests.waiting import wait_for


@pytest.mark.parametrize("part", ["ClosedFlows", "make_chooser"])
def test_what_was_opened_for_an_agent_that_cannot_be_built_is_given_back(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    opened: list[socket.socket] = []

    def opening() -> socket.socket:
        opened.append(open_diag_socket())
        return opened[-1]

    def refuse(*_: Any, **__: Any) -> Never:
        raise CollectError("scripted")

    monkeypatch.setattr(build, "open_diag_socket", opening)
    monkeypatch.setattr(build, part, refuse)
    before = set(threading.enumerate())
    with pytest.raises(CollectError):
        build_agent(config("filter: [{drop: {hosts: [localhost]}}]"), lambda _: [], Clock())
    assert {each.fileno() for each in opened} == {-1}
    wait_for(
        lambda: {"resolver", "closed-flows"}.isdisjoint(each.name for each in set(threading.enumerate()) - before),
        "its threads ended",
    )


def test_of_a_dump_nothing_stays_in_memory_until_the_next(monkeypatch: pytest.MonkeyPatch, host: Host) -> None:
    """Nor where all flows stand in one run of its rows, as here, of which no stage makes a copy."""
    wanted = config("collect: {loopback: true}\ngroup: {by: [direction, pid]}")
    agent = host.call(lambda: build_agent(wanted, lambda _: [], Clock()))
    dump = agent.pipeline.collect.dump
    blocks: list[weakref.ref[np.ndarray[Any, Any]]] = []

    def watched() -> Sequence[tuple[str, Sockets]]:
        parts = dump()
        for _, read in parts:
            assert read.inode.base is not None
            blocks.append(weakref.ref(read.inode.base))
        return parts

    monkeypatch.setattr(agent.pipeline.collect, "dump", watched)
    with service(at=host, clients=host) as some:
        some.connect()
        agent.pipeline.tick(int(time.time() * 1000))
    agent.close()
    assert [block() for block in blocks] == [None]
