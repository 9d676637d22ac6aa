"""Machines that other tests rely on: they boot, and leave nothing behind."""

from pathlib import Path

import pytest

from tests import hosts
from tests.system.machine import Machine, booted
from tests.waiting import wait_for

pytestmark = pytest.mark.system


def traces(machine: Machine) -> list[str]:
    """What there is of a machine on the one that runs it."""
    name = machine.files.name
    places = ("sys/fs/cgroup", "sys/fs/cgroup/systemd", "sys/fs/cgroup/unified", "run/systemd/nspawn/propagate")
    paths = [f"/proc/{machine.nspawn}", f"/proc/{machine.leader}", *(f"/{place}/{name}" for place in places)]
    mounted = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    return [path for path in paths if Path(path).exists()] + mounted


def test_a_machine_leaves_nothing_behind(host: hosts.Host, tmp_path: Path) -> None:
    with booted(host, tmp_path) as machine:
        assert machine.run("systemctl", "is-system-running") == "running\n"
        assert machine.run("systemctl", "--failed", "--no-legend") == ""
        assert traces(machine)
    assert traces(machine) == []
    assert list(machine.files.iterdir()) == []


def test_a_machine_leaves_nothing_behind_after_a_failure(host: hosts.Host, tmp_path: Path) -> None:
    machines: list[Machine] = []

    def fail() -> None:
        with booted(host, tmp_path) as machine:
            machines.append(machine)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    wait_for(lambda: not traces(machines[0]), "its processes are gone")
    assert list(machines[0].files.iterdir()) == []


def test_two_machines_run_side_by_side(
    host_pair: tuple[hosts.Host, hosts.Host], tmp_path: Path, installed: Path
) -> None:
    left, right = host_pair
    with booted(left, tmp_path, installed) as one, booted(right, tmp_path) as other:
        one.write("/root/note", "of one")
        assert one.run("cat", "/root/note") == "of one"
        assert other.attempt("cat", "/root/note").returncode != 0
        assert left.ipv4 in one.run("ip", "-brief", "address")
        assert right.ipv4 in other.run("ip", "-brief", "address")
        assert one.attempt("which", "ss-pusher").returncode == 0
        assert other.attempt("which", "ss-pusher").returncode == 1
