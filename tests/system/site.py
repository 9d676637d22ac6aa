"""A machine with the package on one host, and on another a real Prometheus and a real Pushgateway that it pushes to."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import servers
from tests.end_to_end.relay import relay
from tests.hosts import Host
from tests.servers import Prometheus, Pushgateway
from tests.system.machine import AGENT, Machine, booted
from tests.waiting import wait_for

PATIENCE: Final = 30.0
EXAMPLES: Final = "/usr/share/doc/ss-pusher/examples"
SPOOL: Final = 'spool: {directory: "${STATE_DIRECTORY}"}'
TICKS: Final = 'ss_pusher_ticks_total{outcome="ok"}'


@dataclass(frozen=True)
class Site:
    """The machine, the servers, and how the machine reaches them."""

    machine: Machine
    prometheus: Prometheus
    pushgateway: Pushgateway
    servers: Host
    write_url: str
    gateway_url: str

    def config(self, *more: str, interval: str = "200ms") -> str:
        """A configuration that pushes to both; `more` are sections to add."""
        write = f"url: {self.write_url}, name: prometheus, remote_timeout: 1s"
        lines = [
            f"interval: {interval}",
            "external_labels: {job: edge, instance: edge-7}",
            "shutdown_deadline: 2s",
            f"remote_write: [{{{write}, queue_config: {{min_backoff: 50ms, max_backoff: 200ms}}}}]",
            f"pushgateway: [{{url: {self.gateway_url}, timeout: 1s, grouping_key: {{instance: edge-7}}}}]",
        ]
        return "\n".join([*lines, *more])

    def configure(self, text: str, name: str = "config") -> None:
        """Write /etc/ss-pusher/NAME.yml."""
        self.machine.write(f"/etc/ss-pusher/{name}.yml", text)

    def start(self, text: str = "", unit: str = AGENT) -> None:
        """Configure and start the agent; it is ready after that."""
        self.configure(text or self.config())
        self.machine.run("systemctl", "start", unit)

    def ticks(self) -> list[tuple[float, float]]:
        """The time of each tick that arrived, in Unix seconds, and how many had succeeded before it."""
        series = list(self.prometheus.samples(TICKS).values())
        return series[0] if series else []

    def waiting(self) -> int:
        """How many samples wait for the server of remote write, as the status says it."""
        said = re.search(r"prometheus: .*?, (\d+) samples wait", self.machine.shown("StatusText"))
        return int(said[1]) if said else 0

    def tick_on(self, count: int = 2) -> None:
        """Wait until so many more ticks have arrived."""
        before = len(self.ticks())
        self.wait_for(lambda: len(self.ticks()) >= before + count, f"{count} more ticks arrive")

    def catch_up(self) -> None:
        """Wait until a tick from now has arrived, and so all that waited, because the queue is in order."""
        now = time.time()
        self.wait_for(lambda: self.ticks() and self.ticks()[-1][0] > now, "what waited has arrived")

    def wait_for(self, condition: Callable[[], object], what: str, deadline: float = PATIENCE) -> None:
        """Wait until it is true; if it never is, say what the agent said."""
        try:
            wait_for(lambda: bool(condition()), what, deadline)
        except TimeoutError as error:
            error.add_note(self.machine.journal("--lines=40"))
            raise


@contextmanager
def at_a_site(machine: Host, far: Host, directory: Path, layer: Path) -> Iterator[Site]:
    """Boot a machine on one host, and start the servers so that they are reached at the other."""
    with (
        servers.prometheus(directory) as prometheus,
        servers.pushgateway(directory) as pushgateway,
        relay(far, prometheus.write_url) as write_url,
        relay(far, pushgateway.url) as gateway_url,
        booted(machine, directory, layer) as booted_machine,
    ):
        yield Site(booted_machine, prometheus, pushgateway, far, write_url, gateway_url)


@contextmanager
def sending(site: Site, count: int) -> Iterator[int]:
    """A service of the machine sends so many bytes to a port of the servers' host, which it gives, and stays connected.

    They are delivered when it gives it.
    """
    with site.servers.call(lambda: socket.create_server((site.servers.ipv4, 0))) as listener:
        listener.settimeout(PATIENCE)
        address = listener.getsockname()
        program = f"""import re
import socket
import time
peer = socket.create_connection({address!r})
peer.sendall(bytes({count}))
peer.recv(1)"""
        site.machine.run("systemd-run", "--unit=sender", "python3", "-c", program)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            left = count
            while left:
                left -= len(connection.recv(left))
            yield address[1]
