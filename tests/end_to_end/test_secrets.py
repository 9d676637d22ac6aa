"""A canary wherever a secret may stand in a configuration: no command says it, at any level, of anything."""

import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ss_pusher.receiver import Receiver
from tests.command import run, running, written
from tests.send.scripted import reply, scripted
from tests.servers import free_port

CANARY = "c4n4ry"
CONFIG = """
interval: 100ms
shutdown_deadline: 300ms
remote_write:
  - {{url: "http://user:{canary}@127.0.0.1:{closed}/push?token={canary}"}}
  - {{url: "http://user:{canary}@no-such-host.invalid/push?token={canary}"}}
  - {{url: "https://user:{canary}@127.0.0.1:{no_tls}/push?token={canary}"}}
  - {{url: "http://user:{canary}@127.0.0.1:{open}/refuse?token={canary}", headers: {{X-Key: {canary}}}}}
  - {{url: "http://127.0.0.1:{open}/basic", basic_auth: {{username: user, password: {canary}}}}}
  - {{url: "http://127.0.0.1:{open}/bearer", authorization: {{credentials: {canary}}}}}
  - {{url: "http://127.0.0.1:{open}/proxied", proxy_url: "http://user:{canary}@127.0.0.1:{closed}"}}
  - {{url: "http://127.0.0.1:{open}/proxied", proxy_url: "socks5://user:{canary}@127.0.0.1:{closed}"}}
pushgateway:
  - {{url: "http://user:{canary}@127.0.0.1:{closed}"}}
  - {{url: "http://user:{canary}@127.0.0.1:{open}"}}
"""
WRONG = """
interval: 15
remote_write: [{{url: "gopher://user:{canary}@host/?token={canary}", bearer_token: [{canary}], basic_auth: {canary}}}]
pushgateway: [{{url: "http://user:{canary}@host:99999/"}}]
"""
LOGS = [("text", "debug"), ("json", "debug"), ("text", "error")]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory where every user can go, which tmp_path is not."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    """A configuration with endpoints that fail, each in its own way."""
    with scripted(reply(403, b"who are you?")) as server, Receiver() as receiver:
        ports = {"closed": free_port(), "open": server.port, "no_tls": receiver.url.rpartition(":")[2]}
        yield written(tmp_path, CONFIG.format(canary=CANARY, **ports))


@pytest.mark.parametrize(("form", "level"), LOGS)
@pytest.mark.parametrize(
    "command", [("once",), ("preview", "--interval", "0.01"), ("preview", "--format", "json", "--ticks", "1")]
)
def test_no_command_says_a_secret(config: str, command: tuple[str, ...], form: str, level: str) -> None:
    done = run(*command, "--config", config, "--log-format", form, "--log-level", level)
    assert done.returncode == (1 if command == ("once",) else 0)
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(("form", "level"), LOGS)
def test_the_service_does_not_say_one_either(config: str, tmp_path: Path, form: str, level: str) -> None:
    command = ("agent", "--config", config, "--log-format", form, "--log-level", level)
    with running(tmp_path, *command) as agent:
        if level == "debug":
            agent.wait_for(lambda: agent.logged().count("403") >= 3, "some refusals")
            assert agent.stop(signal.SIGINT) == 0
        else:
            agent.stop()
        assert CANARY not in agent.said() + agent.logged()


@pytest.mark.parametrize(("form", "level"), LOGS)
def test_a_check_does_not_say_one_whether_all_is_right_or_not(tmp_path: Path, form: str, level: str) -> None:
    right = CONFIG.format(canary=CANARY, closed=1, open=2, no_tls=3)
    for text, code in ((right, 0), (WRONG.format(canary=CANARY), 2)):
        done = run("check-config", written(tmp_path, text), "--log-format", form, "--log-level", level)
        assert done.returncode == code
        assert CANARY not in done.stdout + done.stderr


def test_the_secrets_are_there_and_arrive(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    with scripted(reply(204)) as server:
        text = f"""
remote_write: [{{url: "http://user:{CANARY}@127.0.0.1:{server.port}/?token={CANARY}", headers: {{X-Key: {CANARY}}}}}]
"""
        assert run("once", "--config", written(tmp_path, text)).returncode == 0
        (request, *_) = server.requests
        assert request.path == f"/?token={CANARY}"
        assert request.headers["x-key"] == CANARY
        assert request.headers["authorization"].startswith("Basic ")


def pushed(receiver: Receiver, count: int) -> bool:
    return len(receiver.requests) >= count


def test_a_secret_that_every_user_may_read_is_warned_of_once_and_not_at_each_tick(
    tmp_path: Path, open_directory: Path
) -> None:
    file = open_directory / "password"
    file.write_text(CANARY)
    warning = f"every user may have {file} read (its mode is 0644); chmod 600 would be right, or systemd's LoadCred"
    with Receiver() as receiver:
        block = f"{{url: '{receiver.url}/api/v1/write', basic_auth: {{username: a, password_file: {file}}}}}"
        config = written(tmp_path, f"interval: 50ms\nremote_write: [{block}]\n")
        for mode, times in ((0o644, 1), (0o640, 0), (0o400, 0)):
            file.chmod(mode)
            assert run("check-config", config).stderr.count(warning) == times
            with running(tmp_path, "agent", "--config", config) as agent:
                agent.wait_for(partial(pushed, receiver, len(receiver.requests) + 5), "some ticks")
                assert agent.stop() == 0
                assert agent.logged().count(warning) == times
