"""The snippets of docs/batch.md do what it says, with files and addresses of this machine in place of its examples."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ss_pusher.batch.outcome import FAMILIES
from tests import command, needs, servers
from tests.batch.jobs import GROUP, NOBODY, peer, sent, settings, talk, value
from tests.end_to_end.relay import relay
from tests.hosts import Host
from tests.servers import labels
from tests.waiting import wait_for

TEXT = (Path(__file__).parents[2] / "docs/batch.md").read_text()
BACKUP = """#!/bin/sh
# Stands for any job: it says what it was given, and ends.
echo "backup $*"
"""
WAITS = """#!/bin/sh
trap 'exit 3' TERM
echo ready
while :; do sleep 0.05; done
"""


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


class Place:
    """A directory in the place of the root, with the configuration and the job of the examples."""

    def __init__(self, directory: Path, gateway: str) -> None:
        self.config = settings(directory, gateway)
        self.job = directory / "backup"
        self.gateway = gateway
        self.job.write_text(BACKUP)
        self.job.chmod(0o755)
        # The examples need no quotes; where this project lies may need some.
        self.command = directory / "ss-pusher"
        self.command.symlink_to(command.EXECUTABLE)

    def here(self, text: str) -> str:
        """The text with what is here."""
        return (
            text.replace("/etc/ss-pusher/job.yml", self.config)
            .replace("/usr/local/bin/backup", str(self.job))
            .replace("http://gateway.example:9091", self.gateway)
            .replace("/usr/bin/ss-pusher", str(self.command))
        )

    def sh(self, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it with sh."""
        return subprocess.run(
            ["sh", "-c", self.here(text)],
            env={"PATH": f"{Path(command.EXECUTABLE).parent}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def place(pushgateway: servers.Pushgateway, tmp_path: Path) -> Place:
    return Place(tmp_path, pushgateway.url)


def test_the_first_example(place: Place, pushgateway: servers.Pushgateway) -> None:
    result = place.sh(snippets("sh")[0])
    assert (result.returncode, result.stdout) == (0, "backup --all\n")
    assert result.stderr.startswith("nightly-backup: exit code 0")
    assert value(pushgateway, "ss_pusher_job_success", job="nightly-backup") == 1


def test_cron(place: Place, pushgateway: servers.Pushgateway) -> None:
    (line,) = snippets("crontab")
    *times, user, script = line.split(maxsplit=6)
    assert (len(times), user) == (5, "root")
    assert place.sh(script).stdout == "backup --all\n"
    assert value(pushgateway, "ss_pusher_job_success", job="nightly-backup") == 1


def unit(key: str) -> str:
    """The value of a line of the documented unit, without the prefix that lets it fail."""
    (text,) = snippets("ini")
    (found,) = re.findall(rf"^{key}=-?(.*)$", text, re.MULTILINE)
    return str(found)


def test_systemd_takes_the_unit(place: Place, tmp_path: Path) -> None:
    (text,) = snippets("ini")
    file = tmp_path / "nightly-backup.service"
    file.write_text(place.here(text))
    verify = [needs.command("systemd-analyze"), "verify", "--man=no", str(file)]
    result = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert "nightly-backup.service" not in result.stderr
    assert unit("Environment") == "SS_PUSHER_CONFIG=/etc/ss-pusher/job.yml"


@pytest.mark.parametrize(("result", "success"), [("success", 1), ("oom-kill", 0)])
def test_systemd_tells_the_result_of_the_service(
    place: Place, pushgateway: servers.Pushgateway, result: str, success: int
) -> None:
    environment = {"SS_PUSHER_CONFIG": place.config, "SERVICE_RESULT": result}
    ran = subprocess.run(shlex.split(place.here(unit("ExecStart"))), env=environment, timeout=30, check=False)
    assert ran.returncode == 0
    subprocess.run(shlex.split(place.here(unit("ExecStopPost"))), env=environment, timeout=30, check=False)
    assert value(pushgateway, "ss_pusher_job_success", job="nightly-backup") == 1
    assert value(pushgateway, "ss_pusher_job_success", job="nightly-backup-service") == success


def test_kubernetes(pushgateway: servers.Pushgateway, tmp_path: Path, host: Host) -> None:
    """A pod is a network namespace: the sidecar is there before the job, and ends after it."""
    (text,) = snippets("yaml")
    pod: dict[str, Any] = yaml.safe_load(text)["spec"]["template"]["spec"]
    (sidecar,), (job,) = pod["initContainers"], pod["containers"]
    assert (sidecar["restartPolicy"], job["command"]) == ("Always", ["/usr/local/bin/backup", "--all"])
    listen = Host(host.name, "127.0.0.1")
    with relay(listen, pushgateway.url) as gateway:
        place = Place(tmp_path, gateway)
        arguments = [place.here(argument) for argument in sidecar["args"]]
        with command.running(tmp_path, *arguments, prefix=host.command()) as agent, peer(listen) as ours:
            agent.wait_for(pushgateway.groups, "the sidecar has looked once")
            subprocess.run(host.command(*talk(ours.port, 999, watcher=NOBODY)), check=True, timeout=30)
            assert agent.stop(signal.SIGTERM) == 0
            assert sent(pushgateway, "ss_pusher", ours.port) == 999


def test_a_ci_runner(place: Place, pushgateway: servers.Pushgateway) -> None:
    assert place.sh(snippets("sh")[1], CI_PROJECT="web", CI_BRANCH="fix/a b").returncode == 0
    assert value(pushgateway, "ss_pusher_job_success", job="ci-web", branch="fix/a b") == 1


def test_a_spot_instance(place: Place, pushgateway: servers.Pushgateway) -> None:
    place.job.write_text(WAITS)
    environment = {"PATH": f"{Path(command.EXECUTABLE).parent}:{os.environ['PATH']}"}
    script = place.here(snippets("sh")[2])
    with subprocess.Popen(["sh", "-c", script], env=environment, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        shell.terminate()
        shell.wait(30)
    exit_code = wait_for(lambda: value(pushgateway, "ss_pusher_job_exit_code", job="render"), "the last push")
    assert exit_code == 3


def test_python(place: Place, pushgateway: servers.Pushgateway) -> None:
    (text,) = snippets("python")
    subprocess.run([sys.executable, "-c", place.here(text)], check=True, timeout=30)
    common = {"job": "nightly-etl", "source": "billing"}
    assert pushgateway.metrics()[labels("etl_rows_total", **common, **GROUP)] == 1000


def test_prune(place: Place, pushgateway: servers.Pushgateway) -> None:
    subprocess.run([sys.executable, "-c", place.here(snippets("python")[0])], check=True, timeout=30)
    result = place.sh(snippets("sh")[3])
    assert (result.returncode, result.stdout) == (0, "")
    assert "nothing to delete" in result.stderr
    assert len(pushgateway.groups()) == 1


def test_the_metrics_are_those_that_are_documented() -> None:
    documented = set(re.findall(r"ss_pusher_job_[a-z_]+", TEXT))
    assert documented == {family.name for family in FAMILIES}
