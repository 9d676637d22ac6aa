"""The demonstration: this host's real flows, pushed over real HTTP to a receiver on loopback, and what arrived."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rich.console import Console

from ss_pusher import tables
from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import Config, parse
from ss_pusher.metrics.host import FLOW_SOCKETS
from ss_pusher.model import Labels, Protocol
from ss_pusher.receiver import Arrival, Receiver

_TICKS: Final = 5
_PAYLOAD: Final = bytes(20_000)
_SHORT_FLOWS_A_SECOND: Final = 20
_PATIENCE: Final = 1.0
"""Seconds that the traffic waits for its other end. Without traffic the demonstration shows what else there is."""
_ROWS: Final = 12

_CONFIG: Final = """
interval: 1s
external_labels: {{job: ss_pusher, instance: "${{HOSTNAME}}"}}
collect: {{loopback: true}}
remote_write: [{{url: "{url}/api/v1/write", name: remote write}}]
pushgateway: [{{url: "{url}", grouping_key: {{instance: "${{HOSTNAME}}"}}}}]
"""

_PROTOCOLS: Final = {Protocol.REMOTE_WRITE_1: "1.0", Protocol.REMOTE_WRITE_2: "2.0", None: "text, gzip"}


def run() -> bool:
    """Push for some seconds and print what arrived: whether every tick was, and all of it was taken."""
    console = tables.screen()
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
    return sent and _ticked(agent) == _TICKS and not receiver.violations


class _Ticks:
    """Stops the agent after so many ticks: it makes one before each wait, and one more when it is time."""

    def __init__(self, ticks: int) -> None:
        self._left = ticks - 1

    def is_set(self) -> bool:
        return self._left == 0

    def wait(self, timeout: float | None = None) -> bool:
        time.sleep(timeout or 0)
        self._left -= 1
        return self.is_set()


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
    with suppress(OSError), socket.create_connection(address, _PATIENCE) as connection:
        while not over.wait(0.05):
            _exchange(connection)


def _visit(address: tuple[str, int], over: threading.Event) -> None:
    while not over.wait(1 / _SHORT_FLOWS_A_SECOND):
        with suppress(OSError), socket.create_connection(address, _PATIENCE) as connection:
            _exchange(connection)


def _exchange(connection: socket.socket) -> None:
    connection.sendall(_PAYLOAD)
    left = len(_PAYLOAD)
    while left:
        received = len(connection.recv(left))
        if not received:
            raise ConnectionError("the echo ended")
        left -= received


# ---- the report -----------------------------------------------------------------------------------------------------


def _report(console: Console, agent: Agent, receiver: Receiver, config: Config) -> None:
    latest = {labels: samples[-1].value for labels, samples in receiver.series.items() if not samples[-1].stale}
    pushed = {
        labels: value
        for group in receiver.groups.values()
        for family in group.values()
        for labels, value in family.samples.items()
    }
    by = config.group.by
    groups = _by_group(latest, by)
    title = "Groups of flows, as they arrived by remote write"
    if len(groups) > _ROWS:
        title += f" (the {_ROWS} largest of {len(groups)})"
    tables.show(console, title, tables.groups(console, groups, by, _ROWS))
    tables.show(console, "This host, as it arrived by remote write", tables.facts(_host(latest)))
    writes = _arrived([arrival for arrival in receiver.requests if arrival.protocol is not None], latest)
    pushes = _arrived([arrival for arrival in receiver.requests if arrival.protocol is None], pushed)
    rows = [(what, writes[what], pushes[what]) for what in writes]
    tables.show(console, "All that arrived", tables.facts(rows, ("", "remote write", "Pushgateway")))
    ticks = max(_ticked(agent), 1)
    each = ((stage, tables.duration(seconds / ticks)) for stage, seconds in agent.stages.seconds.items())
    tables.show(console, "Time of each stage of a tick, mean", tables.facts(each))
    for violation in receiver.violations:
        console.print(f"refused: {violation}")


def _by_group(latest: Mapping[Labels, float], by: Sequence[str]) -> dict[Labels, dict[str, float]]:
    groups: dict[Labels, dict[str, float]] = {}
    for labels, value in latest.items():
        named = dict(labels)
        if named["__name__"].startswith("ss_flow_"):
            group = tuple((label, named[label]) for label in by if label in named)
            groups.setdefault(group, {})[named["__name__"]] = value
    return groups


def _host(latest: Mapping[Labels, float]) -> Iterator[tuple[str, str]]:
    for labels, value in sorted(latest.items()):
        named = dict(labels)
        name = named["__name__"]
        if name.startswith("ss_tcp_") and "le" not in named and ("state" not in named or value):
            where = f" {named['state']} {named['family']}" if "state" in named else ""
            yield name + where, f"{value:.15g}"


def _arrived(arrivals: Sequence[Arrival], latest: Mapping[Labels, float]) -> dict[str, str]:
    """What all requests of one kind brought, and what the last of them says."""
    flows = [value for labels, value in latest.items() if dict(labels)["__name__"] == FLOW_SOCKETS.name]
    samples = sum(arrival.samples for arrival in arrivals)
    body = sum(arrival.body_bytes for arrival in arrivals)
    return {
        "protocol": ", ".join({_PROTOCOLS[arrival.protocol] for arrival in arrivals}),
        "requests": str(len(arrivals)),
        "flows": f"{sum(flows):.0f}",
        "groups": str(len(flows)),
        "series": str(len(latest)),
        "samples": str(samples),
        "bytes": tables.size(body),
        "bytes per sample": f"{body / samples:.1f}" if samples else "-",
    }


def _ticked(agent: Agent) -> int:
    return int(agent.telemetry.value("ss_pusher_ticks_total", outcome="ok"))
