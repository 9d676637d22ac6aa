"""Which flows are told of a job: its own, all of them and no others."""

import os
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import command, needs, servers
from tests.attribute.cgroups import new_cgroup
from tests.batch.jobs import (
    OUTCOME,
    SEEN,
    TALK,
    WAITS,
    peer,
    python,
    run,
    sent,
    settings,
    talk,
    without_cgroups,
)
from tests.waiting import wait_for

WAYS = ["own cgroup", "process tree"]


def prefix(way: str) -> list[str]:
    """What the wrapper is started with to find the job's sockets this way; the first needs a cgroup2 file system."""
    if way == "process tree":
        return without_cgroups()
    needs.root()
    if not list(Path("/sys/fs/cgroup").glob("**/cgroup.procs")):
        needs.unavailable("no cgroup2 file system is mounted")
    return []


@pytest.mark.parametrize("way", WAYS)
def test_the_jobs_flows_are_told_to_the_byte_and_nobody_elses(
    pushgateway: servers.Pushgateway, tmp_path: Path, way: str
) -> None:
    with peer() as ours, peer() as others:
        config = settings(tmp_path, pushgateway.url)
        job = talk(ours.port, 54_321)
        with command.running(
            tmp_path, "run", "--config", config, "--job", "j", "--", *job, prefix=prefix(way)
        ) as wrapper:
            wait_for(lambda: ours.opened, "the job talks")
            beside = subprocess.Popen(talk(others.port, 777, watcher=wrapper.process.pid))
            assert beside.wait(20) == 0
            assert wrapper.process.wait(command.PATIENCE) == 0
        assert sent(pushgateway, "j", ours.port) == 54_321
        assert sent(pushgateway, "j", others.port) is None
    names = {dict(key)["__name__"] for key in pushgateway.metrics() if ("job", "j") in key}
    assert {name for name in names if name.startswith(("ss_tcp_", "ss_pusher_"))} == {
        f"ss_pusher_job_{name}" for name in OUTCOME
    }


def test_among_very_many_sockets_only_the_jobs_are_told(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    """Of so many the kernel is asked for those of the job's cgroup only, where it has one."""
    with peer() as ours, ExitStack() as stack:
        crowd = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=256))
        for _ in range(150):
            stack.enter_context(socket.create_connection(crowd.getsockname())).sendall(b"x")
        config = settings(tmp_path, pushgateway.url)
        result = run(config, *talk(ours.port, 4321), options=["--job", "j"])
        assert result.returncode == 0, result.stderr
        assert sent(pushgateway, "j", ours.port) == 4321
        assert sent(pushgateway, "j", crowd.getsockname()[1]) is None


FAMILY = """
import os, subprocess, sys
talk, port = sys.argv[1], sys.argv[2]
running, held = os.pipe()
def start(count, *prefix):
    argv = [*prefix, sys.executable, "-c", talk, "127.0.0.1", port, str(count), "0"]
    return subprocess.Popen(argv, pass_fds=[held])
children = [start(1000), start(20000)]
# The first child ends at once, so that the second is nobody's: init's, or whoever reaps in its place.
children.append(start(300000, "setsid", "--fork"))
os.close(held)
os.read(running, 1)
for child in children:
    child.wait()
"""


@pytest.mark.parametrize("way", WAYS)
def test_children_and_orphans_are_the_jobs_too(pushgateway: servers.Pushgateway, tmp_path: Path, way: str) -> None:
    with peer() as ours:
        job = python(FAMILY, TALK, ours.port)
        config = settings(tmp_path, pushgateway.url)
        result = command.run("run", "--config", config, "--job", "j", "--", *job, prefix=prefix(way))
        assert result.returncode == 0, result.stderr
        assert sent(pushgateway, "j", ours.port) == 321_000


INHERITED = (
    SEEN
    + """
import socket, sys
os.write(int(sys.argv[2]), bytes(700))
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(bytes(50))
    wait_until_seen(os.getpid())
"""
)


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_was_there_before_the_job_is_not_its_own(
    pushgateway: servers.Pushgateway, tmp_path: Path, way: str
) -> None:
    with peer() as ours, socket.create_connection(("127.0.0.1", ours.port)) as before:
        before.sendall(bytes(5000))
        config, job = settings(tmp_path, pushgateway.url), python(INHERITED, ours.port, before.fileno())
        argv = [*prefix(way), command.EXECUTABLE, "run", "--config", config, "--job", "j", "--", *job]
        subprocess.run(argv, pass_fds=[before.fileno()], check=True, timeout=command.PATIENCE)
        assert sent(pushgateway, "j", ours.port) == 50


def test_alone_in_a_cgroup_the_wrapper_does_not_tell_its_own_pushes(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    with peer() as ours, new_cgroup(f"ss-pusher-test-{os.getpid()}") as directory:
        enter = ["sh", "-c", f'echo 0 > {directory}/cgroup.procs; exec "$@"', "sh"]
        arguments = ["--config", settings(tmp_path, pushgateway.url), "--job", "j", "--interval", "100ms"]
        job = python(WAITS, ours.port, tmp_path / "go")
        with command.running(tmp_path, "run", *arguments, "--", *job, prefix=enter) as wrapper:
            wrapper.wait_for(lambda: sent(pushgateway, "j", ours.port) == 1000, "a push meanwhile")
            (tmp_path / "go").touch()
            assert wrapper.process.wait(command.PATIENCE) == 0
        assert not list(directory.glob("ss-pusher-run-*"))
        assert sent(pushgateway, "j", ours.port) == 1500
    ports = {dict(key).get("service_port") for key in pushgateway.metrics()}
    assert str(urlsplit(pushgateway.url).port) not in ports


def test_a_cgroup_that_was_made_is_removed(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    config = settings(tmp_path, pushgateway.url)
    inside = run(config, "cat", "/proc/self/cgroup", options=["--job", "j"]).stdout
    outside = Path("/proc/self/cgroup").read_text()
    made = [line for line in inside.splitlines() if line not in outside.splitlines()]
    if not made:
        needs.unavailable("no cgroup can be made here")
    name = made[0].rpartition("/")[2]
    assert name.startswith("ss-pusher-run-")
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{name}"))


IN_BASH = """
id -u
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf %04321d 0 >&3
until thread=$(readlink "/proc/$PPID/fd/"* | sed -n 's:/net/snmp$::p'); [ "$thread" ]; do sleep 0.05; done
wakes() { sed -n 's:^voluntary_ctxt_switches.::p' "$thread/status"; }
enough=$(($(wakes) + 5))
until [ "$(wakes)" -ge "$enough" ]; do sleep 0.05; done
"""
"""As `talk`, since this interpreter may lie where nobody may start it."""


def test_nobody_may_watch_a_job_of_their_own(pushgateway: servers.Pushgateway) -> None:
    """Without any privilege: no cgroup can be made, so the process tree tells."""
    with peer() as ours, tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        config = settings(Path(directory), pushgateway.url)
        Path(config).chmod(0o644)
        with socket.create_connection(("127.0.0.1", ours.port)) as others:
            others.sendall(bytes(777))
            job = (needs.command("bash"), "-c", IN_BASH, "bash", str(ours.port))
            result = command.run("run", "--config", config, "--job", "j", "--", *job, prefix=command.nobody())
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == ("65534\n" if os.geteuid() == 0 else f"{os.geteuid()}\n")
        assert sent(pushgateway, "j", ours.port) == 4321
