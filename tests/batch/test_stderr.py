"""Whatever stderr is, the job's exit code and its end are the job's; and closed streams stay closed for it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests import command, servers
from tests.batch.jobs import peer, python, sent, settings, talk, value

NOBODY = "{{shutdown_deadline: {}, pushgateway: [{{url: 'http://127.0.0.1:1'}}]}}"


CLOSED = """
import os, sys
def closed(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return True
found = [descriptor for descriptor in range(3) if closed(descriptor)]
with open(sys.argv[1], "w") as file:
    file.write(repr(found))
sys.exit(5)
"""


def sh(redirected: str, config: str, *job: str) -> subprocess.CompletedProcess[str]:
    """Run a job with a summary, its streams redirected by a shell."""
    script = f'"$@" {redirected}'
    wrapped = [command.EXECUTABLE, "run", "--summary", "--config", config, "--job", "j", "--", *job]
    return subprocess.run(["sh", "-c", script, "sh", *wrapped], timeout=command.PATIENCE, check=False, text=True)


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_what_cannot_be_said_does_not_change_the_exit_code(tmp_path: Path, redirected: str) -> None:
    config = command.written(tmp_path, NOBODY.format("50ms"))
    assert sh(redirected, config, "sh", "-c", "exit 3").returncode == 3


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_become_none_of_the_wrappers_sockets(
    pushgateway: servers.Pushgateway, tmp_path: Path, closed: str
) -> None:
    with peer() as ours:
        assert sh(closed, settings(tmp_path, pushgateway.url), *talk(ours.port, 77)).returncode == 0
        assert sent(pushgateway, "j", ours.port) == 77


def test_what_cannot_be_said_does_not_change_what_wrong_usage_is(tmp_path: Path) -> None:
    assert sh("2>/dev/full", str(tmp_path / "nowhere.yml"), "true").returncode == 2


def test_closed_streams_stay_closed_for_the_job_and_the_push_goes_its_way(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    config = settings(tmp_path, pushgateway.url)
    assert sh("<&- >&- 2>&-", config, *python(CLOSED, seen)).returncode == 5
    assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == 5
    assert seen.read_text() == "[0, 1, 2]"


def test_a_stderr_that_nobody_reads_holds_the_job_no_longer_than_the_deadline(tmp_path: Path) -> None:
    config = command.written(tmp_path, NOBODY.format("1s"))
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        os.write(writing, bytes(1 << 20))  # as much of it as there is room for
        with pytest.raises(BlockingIOError):
            os.write(writing, b"x")
        os.set_blocking(writing, True)
        job = ["run", "--summary", "--config", config, "--", "sh", "-c", "exit 3"]
        process = subprocess.run([command.EXECUTABLE, *job], stderr=writing, timeout=command.PATIENCE, check=False)
        assert process.returncode == 3
        assert os.get_blocking(writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_stderr_that_is_read_late_gets_all(tmp_path: Path) -> None:
    config = command.written(tmp_path, NOBODY.format("20s"))
    reading, writing = os.pipe()
    job = ["run", "--summary", "--config", config, "--job", "j" * 100_000, "--", "sh", "-c", "exit 3"]
    with subprocess.Popen([command.EXECUTABLE, *job], stderr=writing) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            text = said.read()
    assert process.returncode == 3
    assert b"j: exit code 3 after" in text
