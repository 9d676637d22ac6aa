"""The image, built on the base system and run beside this machine's network, as a user without any right."""

import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

import ss_pusher
from tests import needs
from tests.end_to_end.connections import service
from tests.packaging.containers import Container, Containers, containers
from tests.servers import Prometheus, Pushgateway, free_port, labels

pytestmark = pytest.mark.system

TICKS = labels("ss_pusher_ticks_total", outcome="ok", job="ss_pusher", instance="edge-7")
THEIRS = """
logic:
  metrics:
    gauges: {active: true, rtt: {active: true}}
  compression: {label_folding: {origin: raw_endpoint}}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """The image, in a storage of its own."""
    with containers(tmp_path_factory.mktemp("containers")) as storage:
        storage.build()
        yield storage


def mounted(directory: Path, text: str) -> str:
    """An option of podman: a file with this text, which every user may read, is /config.yml in the container."""
    directory.chmod(0o755)
    file = directory / "config.yml"
    file.write_text(text, encoding="utf-8")
    file.chmod(stat.S_IRUSR | stat.S_IROTH)
    return f"--volume={file}:/config.yml:ro"


def agent(gateway: Pushgateway, write_url: str) -> str:
    """A configuration that pushes to both."""
    return f"""
interval: 200ms
external_labels: {{job: ss_pusher, instance: edge-7}}
collect: {{loopback: true}}
remote_write: [{{url: "{write_url}"}}]
pushgateway: [{{url: "{gateway.url}", grouping_key: {{instance: edge-7}}}}]
"""


def status(container: Container, name: str) -> list[str]:
    """What /proc says of its first process."""
    text = Path(f"/proc/{container.process}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name}:"))
    return line.split()[1:]


def listening(container: Container) -> str:
    """The sockets on which it waits for connections."""
    command = [needs.command("ss"), "--no-header", "--listening", "--tcp", "--numeric", "--processes"]
    sockets = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return "\n".join(line for line in sockets if f"pid={container.process}," in line)


def served(port: int) -> str:
    """What /metrics holds, once it is there."""
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    except requests.ConnectionError:
        return ""
    return answer.text if answer.ok else ""


def test_its_configuration_is_that_of_the_predecessor_but_that_root_does_not_run_it(image: Containers) -> None:
    config = image.inspect()
    assert config["User"] == "10001:10001"
    assert {"PORT=", "CONFIG_FILE=/etc/ss-pusher/config.yml"} <= set(config["Env"])


def test_with_a_command_it_is_ss_pusher(image: Containers) -> None:
    done = image.run("version")
    assert (done.returncode, done.stdout) == (0, f"ss_pusher {ss_pusher.__version__}\n"), done.stderr
    assert "CONFIG" not in image.run("sample-config").stderr
    assert image.run("agent").returncode == 2


def test_it_pushes_without_any_right_serves_on_port_and_ends_with_a_last_push(
    image: Containers, prometheus: Prometheus, pushgateway: Pushgateway, tmp_path: Path
) -> None:
    port = free_port()
    volume = mounted(tmp_path, agent(pushgateway, prometheus.write_url))
    with image.running(volume, "--env=CONFIG_FILE=/config.yml", f"--env=PORT={port}") as container:
        container.wait_for(lambda: pushgateway.metrics().get(TICKS, 0) > 1, "two ticks arrive")
        container.wait_for(lambda: prometheus.query("ss_flow_sent_bytes_total"), "flows arrive")
        assert "ss_tcp_sockets" in served(port)
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=10).text == "ok\n"
        assert set(status(container, "Uid")) == {"10001"}
        assert status(container, "CapBnd") == ["0" * 16]
        assert status(container, "NSpid")[-1] == "1"
        before = pushgateway.metrics()[TICKS]
        assert container.stop(signal.SIGTERM) == 0, container.logged()
    assert pushgateway.metrics()[TICKS] > before


def test_without_port_nothing_listens(image: Containers, pushgateway: Pushgateway, tmp_path: Path) -> None:
    volume = mounted(tmp_path, agent(pushgateway, "http://127.0.0.1:9/"))
    with image.running(volume, "--env=CONFIG_FILE=/config.yml") as container:
        container.wait_for(lambda: pushgateway.metrics().get(TICKS, 0) > 1, "two ticks arrive")
        assert listening(container) == ""
        assert container.stop(signal.SIGINT) == 0


def test_a_configuration_of_the_predecessor_is_refused_and_converted(image: Containers, tmp_path: Path) -> None:
    volume = mounted(tmp_path, THEIRS)
    refused = image.run(options=(volume, "--env=CONFIG_FILE=/config.yml"))
    assert refused.returncode == 2
    assert "`ss-pusher convert-config /config.yml` prints one of ours" in refused.stderr
    ours = image.run("convert-config", "/config.yml", options=(volume,))
    assert ours.returncode == 0, ours.stderr
    port = free_port()
    volume = mounted(tmp_path, ours.stdout)
    with service() as some:
        some.connect()
        with image.running(volume, "--env=CONFIG_FILE=/config.yml", f"--env=PORT={port}") as container:
            container.wait_for(lambda: "tcp_rtt" in served(port), "what was served is served")
            assert container.stop(signal.SIGTERM) == 0


def test_a_missing_configuration_is_said(image: Containers) -> None:
    done = image.run()
    assert done.returncode == 2
    assert done.stderr == "ss-pusher: /etc/ss-pusher/config.yml: there is no such file\n"
