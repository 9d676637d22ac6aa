"""What dpkg does with the package on a machine that is running."""

from pathlib import Path

import pytest

from tests import hosts
from tests.system.machine import AGENT, Machine, booted
from tests.system.site import EXAMPLES, SPOOL, Site

pytestmark = pytest.mark.system

TWO = "ss-pusher@two.service"


def files(machine: Machine) -> set[str]:
    """Every path of the machine's disk, but what dpkg, the journal and caches keep for themselves."""
    ours = ["-not", "-path", "/var/lib/dpkg/*", "-not", "-path", "/var/log/*", "-not", "-path", "/var/cache/*"]
    return set(machine.run("find", "/", "-xdev", "-not", "-path", "/root/*", *ours).splitlines())


def upgrade_of(machine: Machine, package: Path) -> Path:
    """The same package as a higher version."""
    script = f"""
        dpkg-deb --raw-extract /root/{package.name} /root/newer
        sed -i 's/^Version: .*/&+newer/' /root/newer/DEBIAN/control
        dpkg-deb -Znone --build /root/newer /root/newer.deb"""
    machine.run("sh", "-e", "-c", script)
    return Path("/root/newer.deb")


def test_after_the_installation_it_is_enabled_does_not_run_and_nothing_has_failed(
    host: hosts.Host, tmp_path: Path, package: Path
) -> None:
    with booted(host, tmp_path) as machine:
        said = machine.install(package)
        assert "ss-pusher runs once it is configured" in said
        assert machine.attempt("systemctl", "is-enabled", AGENT).stdout == "enabled\n"
        assert machine.attempt("systemctl", "is-active", AGENT).stdout == "inactive\n"
        assert machine.run("systemctl", "is-system-running") == "running\n"
        secrets = (machine.root / "etc/ss-pusher/secrets").stat()
        assert (secrets.st_uid, secrets.st_mode & 0o777) == (0, 0o700)


def test_a_machine_boots_without_it_until_it_is_configured_and_then_with_it(site: Site) -> None:
    assert site.machine.shown("ActiveState") == "inactive"
    site.configure(site.config())
    site.machine.run("systemctl", "isolate", "multi-user.target")
    site.tick_on()
    assert site.machine.shown("ActiveState") == "active"


def test_an_upgrade_keeps_configuration_secrets_and_state_and_restarts_what_runs(site: Site, package: Path) -> None:
    text = site.config(SPOOL)
    machine = site.machine
    machine.write("/etc/ss-pusher/secrets/push", "not changed", 0o600)
    site.start(text)
    site.tick_on()
    site.configure(site.config().replace("edge-7", "edge-two"), "two")
    machine.run("systemctl", "start", TWO)
    before, two = machine.shown("MainPID"), machine.shown("MainPID", TWO)
    spool = machine.run("ls", "/var/lib/ss-pusher")
    machine.install(package)  # the same version once more
    assert machine.shown("ActiveState") == "active"
    again = machine.shown("MainPID")
    machine.run("dpkg", "--install", str(upgrade_of(machine, package)))
    assert len({before, again, machine.shown("MainPID")}) == 3
    assert machine.shown("MainPID", TWO) not in ("0", two)
    assert machine.run("dpkg-query", "--show", "--showformat=${Version}", "ss-pusher").endswith("+newer")
    assert machine.run("cat", "/etc/ss-pusher/config.yml") == text
    assert machine.run("cat", "/etc/ss-pusher/secrets/push") == "not changed"
    assert machine.run("ls", "/var/lib/ss-pusher") == spool
    site.tick_on()
    assert machine.shown("ActiveState") == "active"


def test_an_upgrade_does_not_start_what_was_stopped(site: Site, package: Path) -> None:
    machine = site.machine
    site.start()
    site.configure(site.config().replace("edge-7", "edge-two"), "two")
    machine.run("systemctl", "enable", "--now", TWO)
    machine.run("systemctl", "stop", AGENT, TWO)
    machine.install(package)
    assert [machine.shown("ActiveState"), machine.shown("ActiveState", TWO)] == ["inactive", "inactive"]
    assert machine.run("systemctl", "is-enabled", AGENT) == "enabled\n"


def test_an_installation_where_there_is_a_configuration_already_starts_it(
    host: hosts.Host, tmp_path: Path, package: Path
) -> None:
    with booted(host, tmp_path) as machine:
        machine.write("/etc/ss-pusher/config.yml", "remote_write: [{url: 'http://127.0.0.1:9/'}]")
        machine.install(package)
        assert machine.shown("ActiveState") == "active"


def test_a_removal_keeps_the_configuration_and_a_purge_leaves_nothing(
    host: hosts.Host, tmp_path: Path, package: Path
) -> None:
    with booted(host, tmp_path) as machine:
        before = files(machine)
        machine.install(package)
        text = """
            interval: 200ms
            shutdown_deadline: 1s
            spool: {directory: "${STATE_DIRECTORY}"}
            remote_write: [{url: 'http://127.0.0.1:9/'}]"""
        machine.write("/etc/ss-pusher/config.yml", text)
        machine.write("/etc/ss-pusher/other.yml", text)
        machine.write("/etc/ss-pusher/secrets/push", "secret", 0o600)
        machine.run("install", "-D", f"{EXAMPLES}/user-names.conf", "-t", "/etc/systemd/system/ss-pusher.service.d")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "enable", "--now", AGENT, "ss-pusher@other.service", "ss-pusher-once.timer")
        assert (machine.root / "var/lib/private/ss-pusher@other").is_dir()
        machine.run("dpkg", "--remove", "ss-pusher")
        assert machine.run("systemctl", "list-units", "--no-legend", "ss-pusher*.service") == ""
        assert machine.run("cat", "/etc/ss-pusher/config.yml") == text
        machine.run("dpkg", "--purge", "ss-pusher")
        assert files(machine) - before <= {"/var/lib/private"}  # systemd's own, for all services
        assert machine.attempt("systemctl", "list-unit-files", "--no-legend", "ss-pusher*").stdout == ""
        assert machine.run("systemctl", "list-units", "--all", "--no-legend", "ss-pusher*") == ""
        assert machine.run("systemctl", "is-system-running") == "running\n"
        assert machine.attempt("getent", "passwd", "ss-pusher").stdout == ""
