"""Where the agent says that it listens, and what it says of files that nobody can read."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
import requests

from ss_pusher.app.endpoints import ExposeEndpoint
from ss_pusher.app.expose import make_expose
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.config.network import ListenAddress
from ss_pusher.receiver import Receiver
from tests.command import run, running, written
from tests.send.certificates import Authority
from tests.servers import free_port
from tests.waiting import wait_for

HASH = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users: {{alice: {HASH}}}"


def endpoint(directory: Path, address: str) -> ExposeEndpoint:
    text = f"expose: {{listen_address: '{address}', web_config_file: web.yml}}"
    config = parse(text.encode(), "config.yml", directory=directory).config
    assert config.expose.listen_address
    return make_expose(config, config.expose.listen_address, Clock())


@contextmanager
def listening(directory: Path, address: str, web: str, caplog: pytest.LogCaptureFixture) -> Iterator[ListenAddress]:
    """An endpoint that listens, and where its log says that it does."""
    caplog.set_level(logging.INFO)
    (directory / "web.yml").write_text(web)
    made = endpoint(directory, address)
    made.start()
    try:
        said = re.search(r"/metrics and /health are served at \[?([^\s\]]*?)\]?:(\d+)", caplog.text)
        assert said
        yield ListenAddress(said[1], int(said[2]))
    finally:
        made.finish(0, 0.0)


def test_the_log_says_which_free_port_was_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with listening(tmp_path, "127.0.0.1:0", "", caplog) as address:
        assert address.port
        assert requests.get(f"http://{address}/health", timeout=10).status_code == 503  # no tick yet
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(("web", "warned"), [("", True), (USERS, False)])
@pytest.mark.parametrize("address", ["0.0.0.0:0", ":0"])
def test_to_listen_beyond_loopback_without_any_protection_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, address: str, web: str, *, warned: bool
) -> None:
    with listening(tmp_path, address, web, caplog):
        pass
    assert ("may read it; docs/expose.md tells of passwords and TLS" in caplog.text) is warned


def test_a_pipe_in_the_place_of_the_file_lets_nobody_in_until_a_file_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(tmp_path, "127.0.0.1:0", USERS, caplog) as address:

        def status() -> int:
            return requests.get(f"http://{address}/health", auth=("alice", "s3cret"), timeout=10).status_code

        assert status() == 503  # let in; there was no tick yet
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "pipe").replace(tmp_path / "web.yml")
        assert status() == 500
        assert "web.yml: cannot be read: it is a pipe; name a regular file" in caplog.text
        (tmp_path / "new").write_text(USERS)
        (tmp_path / "new").replace(tmp_path / "web.yml")
        wait_for(lambda: status() == 503, "to be let in again", 20)


def test_an_agent_that_starts_while_a_certificate_is_renewed_pushes_and_is_scraped_once_that_is_done(
    tmp_path: Path,
) -> None:
    authority, address = Authority(tmp_path), f"127.0.0.1:{free_port()}"
    old, new = authority.sign("old"), authority.sign("new")
    key = tmp_path / "server.key"
    key.write_bytes(old.key.read_bytes())
    (tmp_path / "web.yml").write_text(f"tls_server_config: {{cert_file: {new.certificate}, key_file: {key}}}")

    def status(scheme: str) -> int:
        try:
            return requests.get(f"{scheme}://{address}/metrics", verify=str(authority.file), timeout=10).status_code
        except requests.ConnectionError:
            return 0

    with Receiver() as receiver:
        file = written(
            tmp_path,
            f"""
interval: 100ms
remote_write: [{{url: "{receiver.url}/api/v1/write"}}]
expose: {{listen_address: "{address}", web_config_file: web.yml}}
""",
        )
        assert run("check-config", file).returncode == 2
        with running(tmp_path, "agent", "--config", file) as agent:
            agent.wait_for(lambda: receiver.series, "pushes")
            assert f"nobody is let in until this is mended: {tmp_path}/web.yml: tls_server_config" in agent.logged()
            assert "may read it" not in agent.logged()
            assert [status("https"), status("http")] == [0, 0]
            key.write_bytes(new.key.read_bytes())
            agent.wait_for(lambda: status("https") == 200, "an answer")
            assert status("http") == 0
            assert agent.stop() == 0
