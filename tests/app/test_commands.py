"""What the agent takes from the command line beside its configuration."""

import signal
from pathlib import Path

import pytest
import requests

from ss_pusher.receiver import Receiver
from tests import needs
from tests.command import Running, run, running, written
from tests.servers import free_port

OF_A_UNIT = """\
spool: {directory: "${STATE_DIRECTORY}"}
remote_write:
  - {url: 'http://127.0.0.1:9/', basic_auth: {username: a, password_file: "${CREDENTIALS_DIRECTORY}/secret_a"}}
  - {url: 'http://127.0.0.1:9/', basic_auth: {username: b, password_file: "${CREDENTIALS_DIRECTORY}/secret_b"}}
expose: {listen_address: "127.0.0.1:9", web_config_file: "${CREDENTIALS_DIRECTORY}/secret_web"}
"""


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


def test_an_exposed_address_is_left_to_the_agent_by_one_tick_beside_it(tmp_path: Path) -> None:
    port = free_port()
    with Receiver() as receiver:
        push = f"remote_write: [{{url: '{receiver.url}/api/v1/write'}}]\n"
        file = written(tmp_path, f'{push}interval: 1h\nexpose: {{listen_address: "127.0.0.1:{port}"}}\n')
        with running(tmp_path, "agent", "--config", file) as agent:
            agent.wait_for(lambda: served(port), "the metrics")
            done = run("once", "--config", file)
            assert (done.returncode, done.stderr.count("in use")) == (0, 0)
            assert agent.stop() == 0


def test_one_tick_that_is_only_exposed_is_pushed_to_nobody(tmp_path: Path) -> None:
    done = run("once", "--config", written(tmp_path, 'expose: {listen_address: "127.0.0.1:9"}\n'))
    assert done.returncode == 2
    assert "nothing to push to" in done.stderr


def test_a_check_leaves_to_the_unit_what_only_the_unit_knows_and_says_so_once(tmp_path: Path) -> None:
    file = written(tmp_path, OF_A_UNIT)
    done = run("check-config", file)
    assert (done.returncode, done.stdout) == (0, f"{file}: this configuration can be used\n")
    warnings = [line for line in done.stderr.splitlines() if "which is not set here" in line]
    assert [line.split("uses ")[1].split(",")[0] for line in warnings] == ["STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"]
    assert "remote_write[0].basic_auth.password_file" in warnings[1]


def test_a_check_in_the_unit_looks_at_its_files(tmp_path: Path) -> None:
    (tmp_path / "secret_b").write_text("b")
    done = run(
        "check-config", written(tmp_path, OF_A_UNIT), CREDENTIALS_DIRECTORY=str(tmp_path), STATE_DIRECTORY=str(tmp_path)
    )
    assert done.returncode == 2
    assert "remote_write[0].basic_auth.password_file" in done.stderr
    assert "remote_write[1]" not in done.stderr


def test_a_check_names_what_is_wrong_with_limits_endpoints_and_web_configuration_at_once(tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    web.write_text("rate_limit: 1\n")
    expose = 'expose: {listen_address: "127.0.0.1:9", web_config_file: web.yml}\n'
    file = written(tmp_path, f"limit: {{max_series: 10}}\n{expose}")
    done = run("check-config", file)
    assert done.returncode == 2
    assert [line.split(": ")[1:3] for line in done.stderr.splitlines()] == [
        [file, "limit.max_series"],
        [f"{web}:1", "rate_limit"],
    ]
    done = run("check-config", written(tmp_path, "limit: {max_series: 10}\n"))
    assert [line.split(": ")[2] for line in done.stderr.splitlines()] == [
        "limit.max_series",
        "nothing to push to; add remote_write or pushgateway (see ss-pusher sample-config)",
    ]


@pytest.mark.parametrize("command", [["agent"], ["once"], ["preview"], ["preview", "--explain"]])
def test_a_privilege_that_a_configuration_takes_is_missed_by_the_name_of_its_file(
    tmp_path: Path, command: list[str]
) -> None:
    needs.root()
    file = written(tmp_path, "collect: {namespaces: [named]}\nremote_write: [{url: 'http://127.0.0.1:1/'}]\n")
    without = (needs.command("setpriv"), "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    done = run(*command, "--config", file, prefix=without)
    assert done.returncode == 2
    assert (
        f"ss-pusher: {file}: collect.namespaces: to enter other network namespaces takes CAP_SYS_ADMIN" in done.stderr
    )
    assert run("check-config", file, prefix=without).returncode == 0


@pytest.mark.parametrize("command", ["agent", "once"])
def test_what_runs_needs_to_know_what_the_unit_knows(tmp_path: Path, command: str) -> None:
    done = run(command, "--config", written(tmp_path, OF_A_UNIT))
    assert done.returncode == 2
    assert "uses CREDENTIALS_DIRECTORY, which is not set" in done.stderr
    assert "uses STATE_DIRECTORY, which is not set" in done.stderr
