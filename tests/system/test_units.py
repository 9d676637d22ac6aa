"""The other units, and what stands in the journal."""

import base64
import signal
from contextlib import ExitStack

import pytest

from tests.end_to_end.relay import relay
from tests.hosts import loss
from tests.send.scripted import reply, scripted
from tests.servers import Labels, labels
from tests.system.machine import AGENT
from tests.system.site import SPOOL, Site

pytestmark = pytest.mark.system

ONCE = "ss-pusher-once.service"
TIMER = "ss-pusher-once.timer"


def ticks_of(site: Site, instance: str) -> int:
    return len(next(iter(site.prometheus.samples(f'ss_pusher_ticks_total{{instance="{instance}"}}').values()), []))


def pushed(site: Site) -> float:
    """When something was pushed to the Pushgateway last, in Unix seconds; 0 if never."""
    metrics: dict[Labels, float] = site.pushgateway.metrics()
    return metrics.get(labels("push_time_seconds", job="ss_pusher", instance="edge-7"), 0)


def test_two_more_agents_have_configurations_and_states_of_their_own(site: Site) -> None:
    for name in ("two", "three"):
        site.configure(site.config(SPOOL).replace("edge-7", f"edge-{name}"), name)
    site.machine.run("systemctl", "start", "ss-pusher@two", "ss-pusher@three")
    site.wait_for(lambda: ticks_of(site, "edge-two") > 1 and ticks_of(site, "edge-three") > 1, "ticks of both")
    assert site.machine.attempt("systemctl", "is-active", AGENT).stdout == "inactive\n"
    for name in ("two", "three"):
        assert "endpoint-prometheus" in site.machine.run("ls", f"/var/lib/ss-pusher@{name}/")
    assert site.machine.attempt("systemctl", "start", "ss-pusher@four").returncode == 0
    assert site.machine.attempt("systemctl", "is-active", "ss-pusher@four").stdout == "inactive\n"


def test_each_agent_has_a_user_and_secrets_of_its_own(site: Site) -> None:
    machine = site.machine
    auth = 'basic_auth: {username: edge, password_file: "${CREDENTIALS_DIRECTORY}/secret_push"}'
    units = [AGENT, "ss-pusher@two.service", "ss-pusher@three_3-b.service"]
    with ExitStack() as stack:
        received = []
        for name, secrets in (("config", "secrets"), ("two", "two.secrets"), ("three_3-b", "three_3-b.secrets")):
            server = stack.enter_context(scripted(reply(204)))
            url = stack.enter_context(relay(site.servers, server.url))
            machine.write(f"/etc/ss-pusher/{secrets}/push", f"of {name}", 0o600)
            site.configure(f'interval: 200ms\nremote_write: [{{url: "{url}", {auth}}}]', name)
            received.append((name, server))
        machine.run("systemctl", "start", *units)
        site.wait_for(lambda: all(server.requests for _, server in received), "a push of each")
        for name, server in received:
            token = base64.b64encode(f"edge:of {name}".encode()).decode()
            assert server.requests[0].headers.get("authorization") == f"Basic {token}"
    assert len({machine.shown("UID", unit) for unit in units}) == 3


def test_the_timer_pushes_again_and_again_and_a_failure_is_seen(site: Site) -> None:
    machine = site.machine
    machine.drop_in("[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\n", TIMER)
    site.configure(site.config())
    machine.run("systemctl", "enable", "--now", TIMER)
    site.wait_for(lambda: pushed(site), "a push")
    first = pushed(site)
    site.wait_for(lambda: pushed(site) > first, "the next push")
    machine.run("systemctl", "stop", TIMER)
    site.wait_for(lambda: machine.shown("ActiveState", ONCE) == "inactive", "the last one has ended")
    assert machine.run("systemctl", "--failed", "--no-legend") == ""
    with loss(site.servers, 1):
        assert machine.attempt("systemctl", "start", ONCE).returncode == 1
    assert machine.shown("ExecMainStatus", ONCE) == "1"


def test_what_one_tick_could_not_push_goes_out_with_the_next_from_a_spool_of_its_own(site: Site) -> None:
    def ticks() -> int:
        return max((len(values) for values in site.prometheus.samples("ss_tcp_sockets").values()), default=0)

    site.start(site.config(SPOOL, interval="1h"))  # an agent beside it, whose spool is another
    site.wait_for(lambda: ticks() == 1, "its tick")
    with loss(site.servers, 1):
        assert site.machine.attempt("systemctl", "start", ONCE).returncode == 1
    assert "lost" not in site.machine.journal()
    assert ticks() == 1
    site.machine.run("systemctl", "start", ONCE)
    site.wait_for(lambda: ticks() == 3, "both ticks")
    assert "endpoint-prometheus" in site.machine.run("ls", "/var/lib/ss-pusher-once/")


def test_a_server_that_is_away_is_one_line_when_it_goes_and_one_when_it_comes(site: Site) -> None:
    key = labels("ss_pusher_ticks_total", job="ss_pusher", instance="edge-7", outcome="ok")

    def ticks() -> float:
        return site.pushgateway.metrics().get(key, 0)

    def lines(words: str) -> int:
        return site.machine.journal("--identifier=ss-pusher").count(f" prometheus {words}")

    site.start()
    site.tick_on()
    assert (lines("accepts"), lines("takes nothing")) == (1, 0)
    site.prometheus.process.send_signal(signal.SIGSTOP)
    site.wait_for(lambda: lines("takes nothing"), "the line about it")
    since = ticks()
    site.wait_for(lambda: ticks() > since + 15, "more ticks")
    assert (lines("accepts"), lines("")) == (1, 2)
    site.prometheus.process.send_signal(signal.SIGCONT)
    site.catch_up()
    assert (lines("accepts"), lines("")) == (2, 3)


def test_the_journal_knows_how_bad_each_line_is(site: Site) -> None:
    machine = site.machine
    site.start()
    site.tick_on()
    site.configure("interval: 0s")
    machine.run("systemctl", "kill", "--signal=HUP", "--kill-who=main", AGENT)
    site.wait_for(lambda: "the old configuration goes on" in machine.journal(), "words about it")
    errors, warnings, news = (
        machine.journal(f"--priority={level}", "--output=cat", "--identifier=ss-pusher")
        for level in ("3", "4..4", "6..6")
    )
    assert errors
    assert {line.split()[0] for line in errors.splitlines()} == {"ERROR"}
    assert {line.split()[0] for line in warnings.splitlines()} == {"WARNING"}
    assert {line.split()[0] for line in news.splitlines()} == {"INFO"}
