"""`ss-pusher prune` on a real Pushgateway whose groups are as old as they are."""

from pathlib import Path

import pytest
import requests

from tests import command, servers
from tests.send.scripted import Peer, reply, scripted
from tests.waiting import wait_for

AT_ONCE = "1ms"


def fill(pushgateway: servers.Pushgateway) -> None:
    for path in ("job/a", "job/a/instance/x/zone@base64/w7w", "job/b"):
        requests.put(f"{pushgateway.url}/metrics/{path}", data=b"m 1\n", timeout=10).raise_for_status()
    wait_for(lambda: len(pushgateway.groups()) == 3, "the groups are there")


def groups(pushgateway: servers.Pushgateway) -> int:
    return len(pushgateway.groups())


def test_old_groups_are_deleted_and_told(pushgateway: servers.Pushgateway) -> None:
    fill(pushgateway)
    result = command.run("prune", "--url", pushgateway.url, "--older-than", AT_ONCE)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert any(line.startswith('deleted {instance="x", job="a", zone="ü"}, last pushed 20') for line in lines)
    assert groups(pushgateway) == 0


def test_a_dry_run_deletes_nothing(pushgateway: servers.Pushgateway) -> None:
    fill(pushgateway)
    result = command.run("prune", "--url", pushgateway.url, "--older-than", AT_ONCE, "--dry-run")
    assert result.returncode == 0
    assert [line.partition(" {")[0] for line in result.stdout.splitlines()] == ["would delete"] * 3
    assert groups(pushgateway) == 3


def test_only_one_jobs_groups_and_only_old_ones(pushgateway: servers.Pushgateway) -> None:
    fill(pushgateway)
    assert command.run("prune", "--url", pushgateway.url, "--older-than", "1h").stdout == ""
    command.run("prune", "--url", pushgateway.url, "--older-than", AT_ONCE, "--job", "a")
    assert [group["labels"] for group in pushgateway.groups()] == [{"job": "b"}]


@pytest.mark.parametrize("how", [(), ("--dry-run",)])
def test_that_nothing_is_old_enough_is_said(pushgateway: servers.Pushgateway, how: tuple[str, ...]) -> None:
    result = command.run("prune", "--url", pushgateway.url, "--older-than", "1h", "--job", "a", *how)
    assert (result.returncode, result.stdout) == (0, "")
    assert "nothing to delete: to every group of job a somebody pushed since" in result.stderr


def test_a_gateway_that_hangs_is_given_up_after_the_timeout_of_its_block(tmp_path: Path) -> None:
    def silent(peer: Peer) -> None:
        peer.wait_until_closed()

    with scripted(silent) as gateway:
        config = command.written(tmp_path, f"{{pushgateway: [{{url: '{gateway.url}', timeout: 300ms}}]}}")
        result = command.run("prune", "--url", gateway.url, "--older-than", "1h", "--config", config)
    assert result.returncode == 1
    assert "deadline" in result.stderr


def test_a_gateway_that_is_not_there_is_1() -> None:
    result = command.run("prune", "--url", "http://127.0.0.1:1", "--older-than", "1h")
    assert result.returncode == 1
    assert "Connection refused" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--url", "http://127.0.0.1:1"), "--older-than"),
        (("--older-than", "1h"), "--url"),
        (("--url", "nowhere", "--older-than", "1h"), "--url: "),
        (("--url", "http://127.0.0.1:1", "--older-than", "old"), "is no duration"),
        (("--url", "http://127.0.0.1:1", "--older-than", "0s"), "more than nothing"),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], words: str) -> None:
    result = command.run("prune", *arguments)
    assert result.returncode == 2
    assert words in result.stderr


def test_a_configuration_says_how_to_connect(tmp_path: Path) -> None:
    with scripted(reply(200, b'{"data": []}')) as gateway:
        text = f"{{pushgateway: [{{url: '{gateway.url}/', basic_auth: {{username: u, password: p}}}}]}}"
        config = command.written(tmp_path, text)
        assert command.run("prune", "--url", gateway.url, "--older-than", "1h", "--config", config).returncode == 0
        assert gateway.requests[0].headers["authorization"] == "Basic dTpw"
        refused = command.run("prune", "--url", "http://127.0.0.1:1", "--older-than", "1h", "--config", config)
    assert refused.returncode == 2
    assert "no pushgateway block" in refused.stderr
