"""What the agent's process may do on a machine, with and without the drop-ins."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers import Labels
from tests.system.machine import AGENT, Machine
from tests.system.site import EXAMPLES, Site
from tests.test_systemd import documented

pytestmark = pytest.mark.system

DYNAMIC = range(61184, 65520)  # systemd's UID ranges, https://systemd.io/UIDS-GIDS/
TEMPORARY = ["/tmp", "/var/tmp"]  # noqa: S108 - the service has its own


TALK = """
import socket, time
listener = socket.create_server(("127.0.0.1", {port}))
near = socket.create_connection(("127.0.0.1", {port}))
far, _ = listener.accept()
while True:
    near.sendall(b"x")
    time.sleep(0.1)
"""


def status(machine: Machine) -> dict[str, str]:
    """Of the agent's process: proc_pid_status(5)."""
    lines = machine.run("cat", f"/proc/{machine.shown('MainPID')}/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def as_agent(machine: Machine, *argv: str) -> str:
    """What a command prints that runs as the agent's user and sees the agent's files; its failures are no matter."""
    user = machine.shown("UID")
    inside = ["nsenter", f"--target={machine.shown('MainPID')}", "--mount", f"--setuid={user}", f"--setgid={user}"]
    return machine.attempt(*inside, "--", *argv).stdout


def use(machine: Machine, drop_in: str) -> None:
    """Do as the documentation says with a drop-in of the package."""
    machine.run("install", "-D", "-m644", f"{EXAMPLES}/{drop_in}", "-t", f"/etc/systemd/system/{AGENT}.d")
    machine.run("systemctl", "daemon-reload")


def exposure(machine: Machine) -> float:
    report = machine.run("systemd-analyze", "security", "--no-pager", AGENT)
    return float(re.findall(r"Overall exposure level for \S+: ([0-9.]+)", report)[0])


@contextmanager
def connected(machine: Machine, unit: str, *more: str, user: str = "root") -> Iterator[int]:
    """A service holds both ends of a connection over loopback, and sends; gives the server's port.

    `more` is options of systemd-run, or what else to start before it.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    machine.write(f"/srv/{unit}.py", TALK.format(port=port))
    machine.run("systemd-run", f"--unit={unit}", f"--uid={user}", *more, "python3", f"/srv/{unit}.py")
    yield port
    machine.run("systemctl", "stop", unit)


def flows(site: Site, port: int) -> list[dict[str, str]]:
    """The labels of what is pushed about a port of servers."""
    found: dict[Labels, float] = site.prometheus.query(f'ss_flow_sockets{{service_port="{port}"}}')
    return [dict(series) for series in found]


def test_its_user_is_made_for_it_and_has_no_capability(site: Site) -> None:
    site.start()
    said = status(site.machine)
    assert {int(number) in DYNAMIC for number in said["Uid"].split()} == {True}
    assert {name: int(said[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {
        "CapInh": 0,
        "CapPrm": 0,
        "CapEff": 0,
        "CapBnd": 0,
        "CapAmb": 0,
    }
    assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")


def test_it_writes_nowhere_but_in_its_state_and_sees_no_home(site: Site) -> None:
    machine = site.machine
    machine.write("/home/alice/diary", "dear diary", 0o644)
    machine.write("/root/diary", "dear diary", 0o644)
    machine.run("install", "--directory", "--mode=1777", "/srv/open")
    site.start()
    find = ["find", "/", "-path", "/proc", "-prune", "-o", "-writable", "-type", "d", "-print"]
    assert set(as_agent(machine, *find).splitlines()) == {"/var/lib/private/ss-pusher", *TEMPORARY}
    assert as_agent(machine, "ls", "-A", "/home", "/root") == ""
    assert as_agent(machine, "cat", "/etc/hostname") != ""  # so it is not that nothing can be read
    machine.run("touch", *(f"{directory}/of-somebody-else" for directory in TEMPORARY))
    assert as_agent(machine, "find", *TEMPORARY).split() == TEMPORARY


def test_it_sees_no_process_of_others(site: Site) -> None:
    machine = site.machine
    site.start()
    assert as_agent(machine, "sh", "-c", "ls -d /proc/[0-9]*").count("/proc/") == 1  # what looks


def test_the_machine_judges_it_as_the_documentation_says(site: Site) -> None:
    machine = site.machine
    assert exposure(machine) == documented()["nothing"]
    for drop_in in documented().keys() - {"nothing"}:
        use(machine, drop_in)
        assert (drop_in, exposure(machine)) == (drop_in, documented()[drop_in])
        machine.run("rm", "-r", f"/etc/systemd/system/{AGENT}.d")
        machine.run("systemctl", "daemon-reload")


# ---- what the drop-ins give ------------------------------------------------------------------------------------------


def test_process_names_need_their_drop_in(site: Site) -> None:
    machine = site.machine
    text = site.config("collect: {loopback: true}", "group: {by: [direction, service_port, command, user]}")
    machine.run("useradd", "alice")
    with connected(machine, "talk", user="alice") as port:
        site.start(text)
        site.wait_for(lambda: flows(site, port), "flows")
        assert not any("command" in flow for flow in flows(site, port))
        assert "the drop-in process-names.conf does" in machine.journal("--priority=warning")
        machine.run("systemctl", "stop", AGENT)
        use(machine, "process-names.conf")
        machine.run("systemctl", "start", AGENT)
        site.wait_for(lambda: flows(site, port), "flows again")
        assert {(flow.get("command"), flow.get("user")) for flow in flows(site, port)} == {("python3", "alice")}


def test_user_names_need_their_drop_in(site: Site) -> None:
    machine = site.machine
    text = site.config("collect: {loopback: true}", "group: {by: [direction, service_port, user]}")
    machine.run("useradd", "alice")
    with connected(machine, "talk", user="alice") as port:
        site.start(text)
        site.wait_for(lambda: flows(site, port), "flows")
        assert "alice" not in {flow.get("user") for flow in flows(site, port)}
        machine.run("systemctl", "stop", AGENT)
        use(machine, "user-names.conf")
        machine.run("systemctl", "start", AGENT)
        site.wait_for(lambda: flows(site, port), "flows again")
        assert {flow.get("user") for flow in flows(site, port)} == {"alice"}


def test_other_network_namespaces_need_their_drop_in(site: Site) -> None:
    machine = site.machine
    machine.run("ip", "netns", "add", "blue")
    machine.run("ip", "-n", "blue", "link", "set", "lo", "up")
    collect = "collect: {loopback: true, namespaces: [all]}"
    site.configure(site.config(collect, "group: {by: [direction, service_port, namespace]}"))
    with (
        connected(machine, "talk", "ip", "netns", "exec", "blue") as named,
        connected(machine, "shut", "-pPrivateNetwork=yes") as other,
    ):
        assert machine.attempt("systemctl", "start", AGENT).returncode == 1
        assert "the drop-in namespaces.conf does" in machine.journal()
        use(machine, "namespaces.conf")
        machine.run("systemctl", "start", AGENT)
        site.wait_for(lambda: flows(site, named) and flows(site, other), "flows of both")
        assert {flow["namespace"] for flow in flows(site, named)} == {"blue"}
        assert len({flow["namespace"] for flow in flows(site, other)} - {"blue"}) == 1
