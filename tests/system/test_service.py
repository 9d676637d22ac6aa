"""The agent as systemd runs it: start, readiness, credentials, watchdog, reload, the end."""

import base64
import socket
import time

import pytest
import requests

from tests.end_to_end.relay import relay
from tests.send.scripted import reply, scripted
from tests.servers import Labels, labels
from tests.system.machine import AGENT
from tests.system.site import SPOOL, Site, sending

pytestmark = pytest.mark.system

BYTES = 1_000_000


def sent(series: dict[Labels, float], port: int, **more: str) -> float:
    """The payload that a Prometheus or a Pushgateway knows of for a port of servers; -1 if it does not."""
    by = {"direction": "out", "remote_address": "192.0.2.2", "service_port": str(port), "instance": "edge-7"}
    return series.get(labels("ss_flow_sent_bytes_total", **by, **more), -1)


# ---- start ----------------------------------------------------------------------------------------------------------


def test_it_is_started_when_the_first_tick_was_read(site: Site) -> None:
    site.start(site.config("expose: {listen_address: 127.0.0.1:8090}", interval="1h"))
    health = site.machine.host.call(lambda: requests.get("http://127.0.0.1:8090/health", timeout=10))
    assert health.text == "ok\n"


def test_what_cannot_be_started_is_failed_and_is_not_tried_again(site: Site) -> None:
    machine = site.machine
    site.configure("intervall: 1s")
    assert machine.attempt("systemctl", "start", AGENT).returncode == 1
    assert "intervall: unknown key" in machine.journal()
    assert [machine.shown("ActiveState"), machine.shown("ExecMainStatus"), machine.shown("NRestarts")] == [
        "failed",
        "2",
        "0",
    ]
    machine.drop_in("[Service]\nRestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n")
    site.configure(site.config())  # and now the kernel cannot be asked
    assert machine.attempt("systemctl", "start", AGENT).returncode == 1
    assert [machine.shown("ActiveState"), machine.shown("ExecMainStatus"), machine.shown("NRestarts")] == [
        "failed",
        "3",
        "0",
    ]


def test_values_arrive_with_the_unit_that_moved_them_and_the_status_says_when(site: Site) -> None:
    site.start()
    with sending(site, BYTES) as port:
        unit = {"unit": "sender.service"}
        selector = "ss_flow_sent_bytes_total"
        site.wait_for(
            lambda: sent(site.prometheus.query(selector), port, job="edge", **unit) == BYTES, "Prometheus has them"
        )
        site.wait_for(
            lambda: sent(site.pushgateway.metrics(), port, job="ss_pusher", **unit) == BYTES, "the gateway has them"
        )
    site.wait_for(
        lambda: "prometheus: last push 2" in site.machine.run("systemctl", "status", AGENT), "the status says when"
    )


# ---- credentials ----------------------------------------------------------------------------------------------------


def test_a_secret_that_only_root_can_read_reaches_the_server(site: Site) -> None:
    machine = site.machine
    with scripted(reply(204)) as server, relay(site.servers, server.url) as url:
        machine.write("/etc/ss-pusher/secrets/push", "open sesame\n", 0o600)
        auth = 'basic_auth: {username: edge, password_file: "${CREDENTIALS_DIRECTORY}/secret_push"}'
        site.start(f'interval: 200ms\nremote_write: [{{url: "{url}", {auth}}}]')
        site.wait_for(lambda: len(server.requests) > 1, "pushes")
        token = base64.b64encode(b"edge:open sesame").decode()
        assert {request.headers.get("authorization") for request in server.requests} == {f"Basic {token}"}
    user = machine.shown("UID")
    for path in ("/etc/ss-pusher/secrets", "/etc/ss-pusher/secrets/push"):
        tried = machine.attempt("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "cat", path)
        assert "Permission denied" in tried.stderr
    assert "sesame" not in machine.journal()


def test_a_host_without_a_directory_of_secrets_needs_none(site: Site) -> None:
    site.machine.run("rmdir", "/etc/ss-pusher/secrets")
    site.start()
    site.tick_on()
    assert site.machine.journal("--priority=warning") == "-- No entries --\n"


# ---- killed ---------------------------------------------------------------------------------------------------------


def test_an_agent_that_is_told_to_end_by_anyone_but_systemd_comes_back(site: Site) -> None:
    machine = site.machine
    machine.drop_in("[Service]\nRestartSec=100ms\n")
    site.start()
    before = machine.shown("MainPID")
    machine.run("sh", "-c", f"kill {before}")
    site.wait_for(lambda: machine.shown("NRestarts") == "1" and machine.shown("SubState") == "running", "a new one")
    assert machine.shown("MainPID") != before
    machine.run("systemctl", "stop", AGENT)
    assert [machine.shown("ActiveState"), machine.shown("Result")] == ["inactive", "success"]


# ---- watchdog -------------------------------------------------------------------------------------------------------


def test_an_agent_that_stands_still_is_started_anew(site: Site) -> None:
    machine = site.machine
    machine.drop_in("[Service]\nWatchdogSec=4s\nRestartSec=100ms\n")
    site.start(site.config(interval="1h"))
    before = machine.shown("MainPID")
    began = time.monotonic()
    while time.monotonic() < began + 5:  # longer than the watchdog waits, and it lives
        assert machine.shown("MainPID") == before
        time.sleep(0.1)
    machine.run("systemctl", "kill", "--signal=STOP", AGENT)
    site.wait_for(lambda: machine.shown("NRestarts") == "1" and machine.shown("SubState") == "running", "a new one")
    assert machine.shown("MainPID") != before
    assert "Watchdog timeout" in machine.journal()


# ---- another configuration ------------------------------------------------------------------------------------------


def test_a_reload_takes_a_new_configuration_and_refuses_a_broken_one(site: Site) -> None:
    machine = site.machine
    site.start(site.config(interval="1h"))
    before = machine.shown("MainPID")
    site.configure(site.config("group: {by: [direction, family]}"))
    machine.run("systemctl", "reload", AGENT)
    site.tick_on(3)
    assert 'family="ipv4"' in str(site.pushgateway.get("/metrics").text)
    site.configure("interval: 0s\nremote_write: []\nlimits: {}")
    assert machine.attempt("systemctl", "reload", AGENT).returncode == 1
    said = machine.journal()
    assert "interval: " in said
    assert "limits: unknown key" in said
    assert "the new configuration is refused" not in said  # because the agent was never asked
    site.tick_on(3)
    assert [machine.shown("ActiveState"), machine.shown("MainPID")] == ["active", before]
    site.configure(site.config())
    machine.run("systemctl", "reload", AGENT)


def test_a_configuration_with_secrets_can_be_checked_by_hand_and_reloaded(site: Site) -> None:
    machine = site.machine
    machine.write("/etc/ss-pusher/secrets/push", "open sesame\n", 0o600)
    auth = 'basic_auth: {username: edge, password_file: "${CREDENTIALS_DIRECTORY}/secret_push"}'
    text = f'remote_write: [{{url: "{site.write_url}", name: prometheus, {auth}}}]\n{SPOOL}'
    site.start(text)
    check = ["ss-pusher", "check-config", "/etc/ss-pusher/config.yml"]
    by_hand = machine.attempt(*check)
    assert by_hand.returncode == 0
    assert by_hand.stderr.count("uses CREDENTIALS_DIRECTORY, which is not set here") == 1
    site.configure("interval: 100ms\n" + text)
    machine.run("systemctl", "reload", AGENT)
    site.wait_for(lambda: "a new configuration: reading every 0.1 s" in machine.journal(), "the new configuration")
    assert "CREDENTIALS_DIRECTORY" not in machine.journal()  # in the unit it is set


# ---- the end --------------------------------------------------------------------------------------------------------


def test_a_stop_pushes_what_the_last_tick_did_not_have(site: Site) -> None:
    site.start(site.config(interval="1h"))
    with sending(site, BYTES) as port:
        assert sent(site.pushgateway.metrics(), port, job="ss_pusher", unit="sender.service") == -1
        site.machine.run("systemctl", "stop", AGENT)
        assert sent(site.pushgateway.metrics(), port, job="ss_pusher", unit="sender.service") == BYTES
        stored = site.prometheus.samples(f'ss_flow_sent_bytes_total{{service_port="{port}"}}')
        assert [values[-1][1] for values in stored.values()] == [BYTES]


def test_a_stop_takes_no_longer_than_the_deadline_when_a_server_hangs(site: Site) -> None:
    machine = site.machine
    with site.servers.call(lambda: socket.create_server((site.servers.ipv4, 0))) as mute:
        url = f"http://{site.servers.ipv4}:{mute.getsockname()[1]}/"
        site.start(f'interval: 200ms\nshutdown_deadline: 1s\nremote_write: [{{url: "{url}", remote_timeout: 1h}}]')
        began = time.monotonic()
        machine.run("systemctl", "stop", AGENT)
        assert time.monotonic() - began < 10  # TimeoutStopSec is 30s
    assert machine.shown("Result") == "success"
