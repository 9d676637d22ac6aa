"""The agent under a service manager: what it says over the manager's socket, and how it takes a new configuration."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import requests

from ss_pusher.receiver import Receiver
from tests import needs
from tests.command import Running, running, written
from tests.send.scripted import Peer, scripted
from tests.servers import free_port

OK = "ss_pusher_ticks_total"


@dataclass
class Manager:
    """The manager's end of NOTIFY_SOCKET, and all that it heard."""

    listening: socket.socket
    heard: list[str] = field(default_factory=list)

    def states(self, *wanted: str) -> list[str]:
        """What was heard so far of these states, in order; of a state with a value, its name and `=`."""
        while True:
            try:
                self.heard.append(self.listening.recv(4096).decode())
            except BlockingIOError:
                return [message for message in self.heard if message.startswith(wanted)]


@contextmanager
def managed(
    directory: Path,
    config: str,
    watchdog: float = 0,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[Running, Manager]]:
    """The agent as systemd starts it; `watchdog` in seconds, `prefix` what its command begins with."""
    path = str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.settimeout(0)
        told = {"NOTIFY_SOCKET": path} | ({"WATCHDOG_USEC": str(int(watchdog * 1e6))} if watchdog else {})
        command = ("agent", "--config", written(directory, config))
        with running(directory, *command, prefix=prefix, environment={**told, **(environment or {})}) as agent:
            yield agent, Manager(listening)


def config(*endpoints: str, interval: str = "100ms", more: str = "") -> str:
    """A configuration with these endpoints of remote write, `NAME: URL` and more keys."""
    blocks = "".join(f"  - {{{endpoint}}}\n" for endpoint in endpoints)
    return f"interval: {interval}\nexternal_labels: {{job: test}}\n{more}\nremote_write:\n{blocks}"


def endpoint(name: str, receiver: Receiver, more: str = "") -> str:
    return f'name: {name}, url: "{receiver.url}/api/v1/write"{more}'


def value(receiver: Receiver, name: str, **labels: str) -> float:
    """The last value that a receiver was told; 0 if it was told none, or that the series has ended."""
    samples = receiver.series.get(tuple(sorted({"__name__": name, "job": "test", **labels}.items())))
    return 0 if not samples or samples[-1].stale else samples[-1].value


def ticks(receiver: Receiver) -> float:
    return value(receiver, OK, outcome="ok")


@dataclass(frozen=True)
class Reloader:
    """Gives the agent another configuration, and waits until it has spoken about it."""

    directory: Path
    agent: Running
    manager: Manager

    def __call__(self, text: str) -> None:
        before = len(self.manager.states("READY=1"))
        written(self.directory, text)
        self.agent.process.send_signal(signal.SIGHUP)
        self.agent.wait_for(lambda: len(self.manager.states("READY=1")) > before, "the end of the reload")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        self.agent.wait_for(lambda: bool(condition()), what)


@contextmanager
def reloading(directory: Path, text: str, receiver: Receiver) -> Iterator[Reloader]:
    with managed(directory, text) as (agent, manager):
        agent.wait_for(lambda: manager.states("READY=1") and receiver.requests, "the first tick")
        yield Reloader(directory, agent, manager)
        assert agent.stop() == 0


# ---- what the manager hears -----------------------------------------------------------------------------------------


def test_it_is_ready_after_the_first_tick_and_says_when_each_endpoint_took_what_and_when_it_stops(
    tmp_path: Path,
) -> None:
    with Receiver() as receiver:
        away = f"http://127.0.0.1:{free_port()}/"
        text = config(endpoint("good", receiver), f'name: away, url: "{away}"', more="shutdown_deadline: 200ms")
        with managed(tmp_path, text) as (agent, manager):
            agent.wait_for(lambda: "good: last push 2" in "".join(manager.states("STATUS=")[-1:]), "a push")
            assert manager.states("READY=1", "STATUS=", "STOPPING=1")[0] == "READY=1"
            assert "away: last push never" in manager.states("STATUS=")[-1]
            agent.wait_for(lambda: not manager.states("STATUS=")[-1].endswith(" 0 samples wait"), "some that wait")
            assert agent.stop() == 0
            assert manager.states("READY=1", "STOPPING=1") == ["READY=1", "STOPPING=1"]
            assert manager.states("WATCHDOG=1") == []  # nobody asked for it


def test_whoever_hears_that_it_is_ready_can_ask_for_what_was_read(tmp_path: Path) -> None:
    port = free_port()
    text = f"interval: 1h\nexpose: {{listen_address: 127.0.0.1:{port}}}"
    with managed(tmp_path, text) as (agent, manager):
        agent.wait_for(lambda: manager.states("READY=1"), "ready")
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=10).text == "ok\n"


def test_signs_of_life_come_from_the_loop_more_often_than_the_watchdog_wants_however_long_the_interval(
    tmp_path: Path,
) -> None:
    with Receiver() as receiver:
        text = config(endpoint("good", receiver), interval="1h")
        with managed(tmp_path, text, watchdog=0.4) as (agent, manager):
            agent.wait_for(lambda: len(manager.states("WATCHDOG=1")) >= 5, "five signs of life")
            assert len(manager.states("STATUS=")) == 1  # there was but one tick
            agent.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, agent.process.pid, os.WSTOPPED | os.WNOWAIT)
            stopped_at = len(manager.states("WATCHDOG=1"))
            agent.process.send_signal(signal.SIGCONT)
            agent.wait_for(lambda: len(manager.states("WATCHDOG=1")) > stopped_at, "life again")
            assert agent.stop() == 0


# ---- another configuration ------------------------------------------------------------------------------------------


def test_a_configuration_that_cannot_be_used_is_refused_whole_with_every_problem(tmp_path: Path) -> None:
    with Receiver() as receiver, Receiver() as other:
        with reloading(tmp_path, config(endpoint("good", receiver)), receiver) as reload:
            before = ticks(receiver)
            wrong = config(endpoint("other", other), more="limit: {hold: -1, holt: 2}")
            reload(wrong)
            log = reload.agent.logged()
            assert "limit.hold" in log
            assert "limit.holt" in log
            assert log.count("the new configuration is refused") == 2
            assert "the old configuration goes on" in log
            reload.wait_for(lambda: ticks(receiver) >= before + 3, "more ticks")
            assert [state.partition("\n")[0] for state in reload.manager.states("RELOADING", "READY")] == [
                "READY=1",
                "RELOADING=1",
                "READY=1",
            ]
            (told,) = reload.manager.states("RELOADING")
            assert int(told.partition("MONOTONIC_USEC=")[2]) > 0
        assert other.requests == []


@pytest.mark.parametrize(
    "wrong",
    ["limit: {max_series: 10}", "expose: {listen_address: 127.0.0.1:TAKEN}", "spool: {directory: /proc/none}"],
)
def test_what_shows_only_when_it_is_tried_is_refused_whole_too(tmp_path: Path, wrong: str) -> None:
    with Receiver() as receiver, Receiver() as other:
        taken = receiver.url.rpartition(":")[2]
        with reloading(tmp_path, config(endpoint("good", receiver)), receiver) as reload:
            more = wrong.replace("TAKEN", taken)
            reload(config(endpoint("good", receiver), endpoint("other", other), interval="50ms", more=more))
            assert "the new configuration is refused" in reload.agent.logged()
            before = ticks(receiver)
            reload.wait_for(lambda: ticks(receiver) >= before + 3, "more ticks")
        assert other.requests == []
        assert receiver.violations == []


def test_an_endpoint_that_did_not_change_keeps_its_connection_while_others_come_and_go(tmp_path: Path) -> None:
    with Receiver() as receiver, Receiver() as gone, Receiver() as new:
        port = receiver.url.rpartition(":")[2]

        def connections() -> str:
            return subprocess.run(
                [needs.command("ss"), "-tnH", "state", "established", "dport", "=", f":{port}"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()[2]

        with reloading(tmp_path, config(endpoint("good", receiver), endpoint("gone", gone)), receiver) as reload:
            reload.wait_for(lambda: ticks(gone) >= 1, "a push to the one that goes")
            before, connection = ticks(receiver), connections()
            reload(config(endpoint("new", new), endpoint("good", receiver)))
            # Counters go on, also those of the agent, and whoever came is told all of it.
            reload.wait_for(lambda: ticks(receiver) > before + 1 and ticks(new) > before + 1, "pushes to both")
            assert connections() == connection
            # The series of the one that went were ended, and so were those about it.
            assert value(receiver, "ss_pusher_samples_total", endpoint="good") > 0
            assert value(receiver, "ss_pusher_samples_total", endpoint="gone") == 0
            assert all(samples[-1].stale for samples in gone.series.values())
            count = len(gone.requests)
            reload.wait_for(lambda: ticks(new) > before + 4, "more ticks")
            assert len(gone.requests) == count
        assert [receiver.violations, gone.violations, new.violations] == [[], [], []]


def test_what_waits_in_the_spool_goes_on_when_its_endpoint_changes(tmp_path: Path) -> None:
    with Receiver() as receiver, Receiver() as other:
        spool = f"spool: {{directory: {tmp_path}/spool}}\nshutdown_deadline: 200ms"
        away = f'name: late, url: "http://127.0.0.1:{free_port()}/"'
        with reloading(tmp_path, config(endpoint("good", receiver), away, more=spool), receiver) as reload:
            reload.wait_for(lambda: value(receiver, "ss_pusher_samples_pending", endpoint="late") > 0, "a backlog")
            count = ticks(receiver)
            reload(config(endpoint("good", receiver), endpoint("late", other), more=spool))
            reload.wait_for(lambda: ticks(other) > count, "the backlog and what is new")
            counted = next(samples for labels, samples in other.series.items() if ("__name__", OK) in labels)
            assert counted[0].value <= 1  # from the first tick on
        assert other.violations == []


def test_counters_that_begin_anew_begin_behind_the_end_of_those_before(tmp_path: Path) -> None:
    with Receiver() as receiver:
        with reloading(tmp_path, config(endpoint("good", receiver)), receiver) as reload:
            for timeout, loopback in (("20s", "true"), ("10s", "false")):
                enough = ticks(receiver) + 1
                changed = endpoint("good", receiver, f", remote_timeout: {timeout}")
                reload(config(changed, more=f"collect: {{loopback: {loopback}}}"))
                reload.wait_for(partial(lambda enough: ticks(receiver) > enough, enough), "ticks after the change")
        assert receiver.violations == []


def test_a_new_interval_holds_at_once(tmp_path: Path) -> None:
    with Receiver() as receiver:
        with reloading(tmp_path, config(endpoint("good", receiver), interval="1h"), receiver) as reload:
            reload(config(endpoint("good", receiver), interval="50ms"))
            reload.wait_for(lambda: ticks(receiver) >= 4, "ticks at the new interval")
        assert receiver.violations == []


def test_the_status_says_that_a_configuration_was_refused_until_one_is_taken(tmp_path: Path) -> None:
    with Receiver() as receiver, reloading(tmp_path, config(endpoint("good", receiver)), receiver) as reload:

        def told() -> str:
            return reload.manager.states("STATUS=")[-1]

        reload("interval: [")
        reload.wait_for(lambda: told().startswith("STATUS=configuration refused; good: last push"), "the status")
        count = len(reload.manager.states("STATUS="))
        reload.wait_for(lambda: len(reload.manager.states("STATUS=")) > count + 2, "more ticks")
        assert told().startswith("STATUS=configuration refused; good: ")
        reload(config(endpoint("good", receiver), interval="1h"))  # so that no tick comes to say it
        reload.wait_for(lambda: told().startswith("STATUS=good: "), "the status")


def test_the_second_configuration_can_be_refused_and_the_third_taken(tmp_path: Path) -> None:
    with Receiver() as receiver, Receiver() as other:
        with reloading(tmp_path, config(endpoint("good", receiver)), receiver) as reload:
            reload("interval: [")
            reload(config(endpoint("good", receiver), endpoint("other", other)))
            reload.wait_for(lambda: ticks(other) > 0, "a push to the new one")
        assert "the new configuration is refused" in reload.agent.logged()


BLIND = """
import sys

class Blinding:
    def find_spec(self, name, path=None, target=None):
        if name == "ss_pusher.app.service":
            sys.meta_path.remove(self)
            from pathlib import Path
            from ss_pusher.errors import CollectError
            from ss_pusher.netlink.dump import Dumper
            dump = Dumper.dump
            def may_fail(self, *arguments, **more):
                if Path("{blind}").exists():
                    raise CollectError("the kernel refused")
                return dump(self, *arguments, **more)
            Dumper.dump = may_fail

sys.meta_path.insert(0, Blinding())
"""


def test_the_status_says_that_ticks_fail_as_long_as_they_do(tmp_path: Path) -> None:
    blind = tmp_path / "blind"
    (tmp_path / "sitecustomize.py").write_text(BLIND.format(blind=blind))
    with Receiver() as receiver:
        text = config(endpoint("good", receiver))
        with managed(tmp_path, text, environment={"PYTHONPATH": str(tmp_path)}) as (agent, manager):

            def told(begin: str) -> bool:
                return "".join(manager.states("STATUS=")[-1:]).startswith(f"STATUS={begin}")

            agent.wait_for(lambda: told("good: last push"), "a push")
            blind.touch()
            agent.wait_for(lambda: told("ticks fail: the kernel refused; good: last push"), "that they fail")
            blind.unlink()
            agent.wait_for(lambda: told("good: last push"), "that they succeed")
            assert agent.stop() == 0


# ---- an endpoint that hangs when it has to go -----------------------------------------------------------------------


def silence(peer: Peer) -> None:
    peer.wait_until_closed()


def test_who_is_told_to_end_while_an_endpoint_leaves_has_one_deadline_for_all(tmp_path: Path) -> None:
    with Receiver() as receiver, scripted(silence) as hanging:
        bounds = "shutdown_deadline: 1h"
        slow = f'name: slow, url: "{hanging.url}", remote_timeout: 1h'
        with managed(tmp_path, config(endpoint("good", receiver), slow, more=bounds)) as (agent, manager):
            agent.wait_for(lambda: hanging.requests and manager.states("READY=1"), "a request that hangs")
            written(tmp_path, config(endpoint("good", receiver), more="shutdown_deadline: 200ms"))
            agent.process.send_signal(signal.SIGHUP)
            agent.wait_for(lambda: "a new configuration" in agent.logged(), "that it is taken")
            # The one that leaves still may for an hour.
            assert agent.stop() == 0


def test_while_an_endpoint_leaves_ticks_go_on_and_signs_of_life_and_the_others_notice_nothing(tmp_path: Path) -> None:
    with Receiver() as receiver, Receiver() as new, scripted(silence) as hanging:
        slow = f'name: slow, url: "{hanging.url}", remote_timeout: 1h'
        long = "shutdown_deadline: 1h"
        with managed(tmp_path, config(endpoint("good", receiver), slow, more=long), watchdog=0.4) as (agent, manager):
            agent.wait_for(lambda: hanging.requests and manager.states("READY=1"), "a request that hangs")
            written(
                tmp_path, config(endpoint("good", receiver), endpoint("slow", new), more="shutdown_deadline: 200ms")
            )
            agent.process.send_signal(signal.SIGHUP)
            agent.wait_for(lambda: "a new configuration" in agent.logged(), "that it is taken")
            count, signs = ticks(receiver), len(manager.states("WATCHDOG=1"))
            agent.wait_for(lambda: ticks(receiver) > count + 2, "ticks")
            agent.wait_for(lambda: ticks(new) > count + 2, "pushes to the one that came in its place")
            agent.wait_for(lambda: len(manager.states("WATCHDOG=1")) > signs + 2, "signs of life")
            assert len(manager.states("READY=1")) == 1  # the reload is not over
            assert agent.stop() == 0
    assert [receiver.violations, new.violations] == [[], []]


def test_who_needs_what_one_that_leaves_still_holds_begins_when_that_has_ended(tmp_path: Path) -> None:
    with Receiver() as receiver, Receiver() as new, scripted(silence) as hanging:
        more = f"spool: {{directory: {tmp_path}/spool}}\nshutdown_deadline: 2s"
        slow = f'name: slow, url: "{hanging.url}", remote_timeout: 1h'
        with reloading(tmp_path, config(endpoint("good", receiver), slow, more=more), receiver) as reload:
            reload.wait_for(lambda: hanging.requests, "a request that hangs")
            written(tmp_path, config(endpoint("good", receiver), endpoint("slow", new), more=more))
            reload.agent.process.send_signal(signal.SIGHUP)
            reload.wait_for(lambda: "a new configuration" in reload.agent.logged(), "that it is taken")
            count = ticks(receiver)
            reload.wait_for(lambda: ticks(new) > count, "pushes to the one that came in its place")
            assert "not every endpoint could begin" not in reload.agent.logged()
            assert "slow did not accept everything" in reload.agent.logged()
    assert [receiver.violations, new.violations] == [[], []]
