"""A job is never kept from running because nobody configured anything for it."""

from pathlib import Path

import pytest

from tests import command, needs, servers
from tests.batch.jobs import SETTINGS, peer, talk, value


def with_etc(directory: Path) -> list[str]:
    """A prefix under which this directory stands in the place of /etc."""
    needs.root()
    script = f'mount --bind "{directory}" /etc; exec "$@"'
    return [needs.command("unshare"), "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


def etc(directory: Path, text: str | None) -> list[str]:
    """The same with a configuration at its default place, or none."""
    (directory / "etc/ss-pusher").mkdir(parents=True)
    if text is not None:
        command.written(directory / "etc/ss-pusher", text)
    return with_etc(directory / "etc")


def test_a_job_runs_without_a_configuration_and_one_line_says_that_nothing_is_pushed(tmp_path: Path) -> None:
    result = command.run("run", "--", "sh", "-c", "echo done; exit 3", prefix=etc(tmp_path, None))
    assert (result.returncode, result.stdout) == (3, "done\n")
    (line,) = result.stderr.splitlines()
    assert "nothing is pushed" in line
    assert "and there is no default one: /etc/ss-pusher/config.yml: there is no such file" in line


def test_the_summary_needs_no_configuration(tmp_path: Path) -> None:
    with peer() as ours:
        loopback = etc(tmp_path, "{collect: {loopback: true}}")
        result = command.run("run", "--summary", "--job", "j", "--", *talk(ours.port, 2048), prefix=loopback)
        port = ours.port
    assert result.returncode == 0
    assert "nothing to push to" in result.stderr
    assert f"127.0.0.1:{port} " in result.stderr


def test_the_default_place_is_the_agents(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    prefix = etc(tmp_path, SETTINGS.format(pushgateway.url))
    result = command.run("run", "--job", "j", "--", "sh", "-c", "exit 3", prefix=prefix)
    assert (result.returncode, result.stderr) == (3, "")
    assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == 3


def test_one_that_nobody_named_and_that_is_broken_does_not_keep_a_job_from_running(tmp_path: Path) -> None:
    result = command.run("run", "--", "sh", "-c", "exit 3", prefix=etc(tmp_path, "{pushgatway: []}"))
    assert result.returncode == 3
    assert "and the default one cannot be used: " in result.stderr
    assert "did you mean pushgateway?" in result.stderr


@pytest.mark.parametrize("how", ["option", "environment"])
def test_one_that_is_named_and_not_there_does(tmp_path: Path, how: str) -> None:
    missing = str(tmp_path / "nowhere.yml")
    job = ("--", "touch", str(tmp_path / "started"))
    if how == "option":
        result = command.run("run", "--config", missing, *job)
    else:
        result = command.run("run", *job, SS_PUSHER_CONFIG=missing)
    assert result.returncode == 2
    assert "there is no such file" in result.stderr
    assert not (tmp_path / "started").exists()


def test_a_label_that_cannot_be_used_is_refused_all_the_same(tmp_path: Path) -> None:
    result = command.run(
        "run", "--label", "a-b=c", "--", "touch", str(tmp_path / "started"), prefix=etc(tmp_path, None)
    )
    assert result.returncode == 2
    assert not (tmp_path / "started").exists()
