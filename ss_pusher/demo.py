"""The demonstration: this host's real flows, pushed over real HTTP to a receiver on loopback, and what arrived."""

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rich.console import Console

from ss_pusher import tables
from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.config import Config, parse
from ss_pusher.loop import Clock
from ss_pusher.model import Labels, Protocol
from ss_pusher.receiver import Arrival, Receiver

_TICKS: Final = 5
_PAYLOAD: Final = bytes(20_000)
_SHORT_FLOWS_A_SECOND: Final = 20

_CONFIG: Final = """
interval: 1s
external_labels: {{job: ss_pusher, instance: "${{HOSTNAME}}"}}
collect: {{loopback: true}}
remote_write: [{{url: "{url}/api/v1/write", name: remote write}}]
pushgateway: [{{url: "{url}", grouping_key: {{instance: "${{HOSTNAME}}"}}}}]
"""

_VERSIONS: Final = {Protocol.REMOTE_WRITE_1: "1.0", Protocol.REMOTE_WRITE_2: "2.0"}


def run() -> bool:
    """Push for some seconds and print what arrived: whether all of it was taken."""
    console = Console()
    logging.getLogger("ss_pusher").setLevel(logging.WARNING)
    with Receiver() as receiver, _traffic():
        config = _config(receiver.url)
        clock = Clock()
        agent = build_agent(config, lambda t: make_endpoints(config, clock, t, stale_on_exit=False), clock)
        console.print(
            f"Reading this host's TCP sockets {_TICKS} times, once a second, and pushing to a receiver at"
            f" {receiver.url}. So that an idle host has something to show, a little traffic runs on loopback."
        )
        sent = agent.run(_Ticks(_TICKS))
        _report(console, agent, receiver, config)
    return sent and not receiver.violations


class _Ticks(threading.Event):
    """Sets itself after so many waits: the agent makes one tick before each, and one more when it is set."""

    def __init__(self, ticks: int) -> None:
        super().__init__()
        self._left = ticks - 1

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left > 0:
            return super().wait(timeout)
        super().wait(timeout)
        self.set()
        return True


def _config(url: str) -> Config:
    text = _CONFIG.format(url=url)
    return parse(text.encode(), "demo", directory=Path()).config


@contextmanager
def _traffic() -> Iterator[None]:
    """A connection that moves data all the time, and short ones, between threads of this process."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        serving = threading.Thread(target=_serve, args=(server,), daemon=True)
        serving.start()
        clients = [threading.Thread(target=client, args=(server.getsockname(), over)) for client in (_talk, _visit)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            over.set()
            for client in clients:
                client.join()
            server.shutdown(socket.SHUT_RDWR)
            serving.join()


def _serve(server: socket.socket) -> None:
    """Echo, each connection in a thread of its own, until the server's socket is shut down."""
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data)


def _talk(address: tuple[str, int], over: threading.Event) -> None:
    with socket.create_connection(address) as connection:
        while not over.wait(0.05):
            _exchange(connection)


def _visit(address: tuple[str, int], over: threading.Event) -> None:
    while not over.wait(1 / _SHORT_FLOWS_A_SECOND):
        with socket.create_connection(address) as connection:
            _exchange(connection)


def _exchange(connection: socket.socket) -> None:
    connection.sendall(_PAYLOAD)
    left = len(_PAYLOAD)
    while left:
        left -= len(connection.recv(left))


# ---- the report -----------------------------------------------------------------------------------------------------


def _report(console: Console, agent: Agent, receiver: Receiver, config: Config) -> None:
    latest = _latest(receiver)
    by = config.group.by
    tables.show(console, tables.groups("Groups of flows, as they arrived by remote write", _by_group(latest, by), by))
    tables.show(console, tables.facts("This host, as it arrived by remote write", _host(latest)))
    writes = [arrival for arrival in receiver.requests if arrival.protocol is not None]
    pushes = [arrival for arrival in receiver.requests if arrival.protocol is None]
    tables.show(console, tables.facts("Remote write", [*_traffic_of(writes), ("series", str(len(latest)))]))
    series = sum(len(family.series) for group in receiver.groups.values() for family in group.values())
    tables.show(console, tables.facts("Pushgateway", [*_traffic_of(pushes), ("series", str(series))]))
    each = ((stage, tables.duration(seconds / _ticked(agent))) for stage, seconds in agent.stages.seconds.items())
    tables.show(console, tables.facts("Time of each stage of a tick, mean", each))
    for violation in receiver.violations:
        console.print(f"refused: {violation}")


def _latest(receiver: Receiver) -> dict[Labels, float]:
    return {labels: samples[-1].value for labels, samples in receiver.series.items() if samples}


def _by_group(latest: dict[Labels, float], by: Sequence[str]) -> dict[Labels, dict[str, float]]:
    groups: dict[Labels, dict[str, float]] = {}
    for labels, value in latest.items():
        named = dict(labels)
        if named["__name__"].startswith("ss_flow_"):
            group = tuple((label, named[label]) for label in by if label in named)
            groups.setdefault(group, {})[named["__name__"]] = value
    return groups


def _host(latest: dict[Labels, float]) -> Iterator[tuple[str, str]]:
    for labels, value in sorted(latest.items()):
        named = dict(labels)
        name = named["__name__"]
        if name.startswith("ss_tcp_") and "le" not in named and ("state" not in named or value):
            where = f" {named['state']} {named['family']}" if "state" in named else ""
            yield name + where, f"{value:.15g}"


def _traffic_of(arrivals: Sequence[Arrival]) -> Iterator[tuple[str, str]]:
    samples = sum(arrival.samples for arrival in arrivals)
    body = sum(arrival.body_bytes for arrival in arrivals)
    protocols = {arrival.protocol for arrival in arrivals if arrival.protocol is not None}
    yield "requests", str(len(arrivals))
    if protocols:
        yield "protocol", ", ".join(_VERSIONS[protocol] for protocol in protocols)
    yield "samples", str(samples)
    yield "bytes", tables.size(body)
    yield "bytes per sample", f"{body / samples:.1f}" if samples else "-"


def _ticked(agent: Agent) -> float:
    return max(agent.telemetry.value("ss_pusher_ticks_total", outcome="ok"), 1)
