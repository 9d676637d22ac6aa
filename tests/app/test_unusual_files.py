"""What is no file in the place of the configuration: nothing waits for it."""

import os
import signal
from pathlib import Path

import pytest

from tests.command import run, running, written

TEXT = "interval: 50ms\nexpose: {listen_address: '127.0.0.1:0'}\n"


def test_a_pipe_in_the_place_of_the_configuration_is_refused_at_a_reload_and_the_old_one_goes_on(
    tmp_path: Path,
) -> None:
    with running(tmp_path, "agent", "--config", written(tmp_path, TEXT)) as agent:
        agent.wait_for(lambda: "/metrics and /health" in agent.logged(), "to listen")
        (tmp_path / "config.yml").unlink()
        os.mkfifo(tmp_path / "config.yml")
        agent.process.send_signal(signal.SIGHUP)
        agent.wait_for(lambda: "the old configuration goes on" in agent.logged(), "the refusal")
        assert "config.yml: cannot be read: it is a pipe; name a regular file" in agent.logged()
        assert agent.stop() == 0


@pytest.mark.parametrize("command", [["check-config"], ["agent", "--config"], ["preview", "--config"]])
def test_the_file_whose_limits_leave_no_room_is_named(tmp_path: Path, command: list[str]) -> None:
    file = written(tmp_path, TEXT + "limit: {max_series: 1}\n")
    assert f"{file}: limit.max_series: 1 is too small" in run(*command, file).stderr


def test_check_config_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yml")
    done = run("check-config", str(tmp_path / "config.yml"))
    assert done.returncode == 2
    assert "config.yml: cannot be read: it is a pipe; name a regular file" in done.stderr
