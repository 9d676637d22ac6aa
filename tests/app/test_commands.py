"""What the agent takes from the command line beside its configuration."""

import signal
from pathlib import Path

import requests

from tests.command import Running, running, written
from tests.servers import free_port


def served(port: int) -> bool:
    """Whether /metrics is served there."""
    try:
        return "ss_tcp_sockets" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    except requests.RequestException:
        return False


def test_an_address_to_expose_at_holds_whatever_the_configuration_says(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    file = written(tmp_path, "interval: 100ms\n")  # on its own it has nowhere to push to

    def reloaded(agent: Running) -> bool:
        return "a new configuration" in agent.logged()

    with running(tmp_path, "agent", "--config", file, "--expose", f"127.0.0.1:{port}") as agent:
        agent.wait_for(lambda: served(port), "the metrics")
        written(tmp_path, f'interval: 100ms\nexpose: {{listen_address: "127.0.0.1:{other}"}}\n')
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_for(lambda: reloaded(agent), "the other configuration is taken")
        assert (served(port), served(other)) == (True, False)
        assert agent.stop() == 0
