"""A sink that fails in any way delays no tick and no other sink, and the log says so once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ss_pusher.receiver import Receiver
from tests.command import Running, running, written
from tests.end_to_end.test_once import close_in_the_middle, drip, silence
from tests.send.scripted import Script, reply, scripted
from tests.servers import free_port

CONFIG = """
interval: 100ms
shutdown_deadline: 500ms
external_labels: {{job: ss_pusher}}
remote_write:
  - {{url: "{good}/api/v1/write", name: good}}
  - url: "{bad}"
    name: bad
    remote_timeout: {timeout}
    protobuf_message: prometheus.WriteRequest
    queue_config: {{min_backoff: 20ms, max_backoff: 100ms}}
pushgateway: [{{url: "{bad}", timeout: {timeout}}}]
"""
RETRIED = "ss_pusher_samples_retried_total"
SENT = "ss_pusher_samples_sent_total"


class Pair:
    """An agent with one sink that is well and two that are not."""

    def __init__(self, agent: Running, receiver: Receiver) -> None:
        self.agent = agent
        self._receiver = receiver

    def value(self, name: str, **labels: str) -> float:
        """What the agent told the good sink of itself."""
        samples = self._receiver.series.get(tuple(sorted({"__name__": name, "job": "ss_pusher", **labels}.items())))
        return samples[-1].value if samples else 0

    def tick_on(self, ticks: int) -> None:
        """Wait for so many more successful ticks."""
        before = self.ticks()
        self.agent.wait_for(lambda: self.ticks() >= before + ticks, f"{ticks} ticks")

    def ticks(self) -> float:
        return self.value("ss_pusher_ticks_total", outcome="ok")

    def lines(self, endpoint: str) -> list[str]:
        """What the log says of an endpoint, without the time."""
        return [
            line.partition(f" {endpoint} ")[2] for line in self.agent.logged().splitlines() if f" {endpoint} " in line
        ]


@contextmanager
def pair(directory: Path, bad: str, timeout: str = "30s") -> Iterator[Pair]:
    with Receiver() as receiver:
        file = written(directory, CONFIG.format(good=receiver.url, bad=bad, timeout=timeout))
        with running(directory, "agent", "--config", file) as agent:
            yield Pair(agent, receiver)
            assert agent.stop() == 0
        assert receiver.violations == []


def gateway_of(url: str) -> str:
    return url.split("/")[2]


@pytest.mark.parametrize("script", [silence, drip, close_in_the_middle])
def test_ticks_go_on_while_a_sink_does_not_answer(tmp_path: Path, script: Script) -> None:
    with scripted(script) as server, pair(tmp_path, server.url, timeout="1h") as both:
        both.agent.wait_for(lambda: len(server.requests) >= 2, "a request to each sink")
        both.tick_on(5)


@pytest.mark.parametrize("script", [silence, drip, close_in_the_middle])
def test_each_try_has_its_own_end_and_the_first_is_told(tmp_path: Path, script: Script) -> None:
    with scripted(script) as server, pair(tmp_path, server.url, timeout="300ms") as both:
        both.agent.wait_for(lambda: both.lines("bad") and both.lines(gateway_of(server.url)), "the end of a try")
        before = both.value(RETRIED, endpoint="bad")
        both.agent.wait_for(lambda: both.value(RETRIED, endpoint="bad") > before, "the end of another")
        for endpoint in ("bad", gateway_of(server.url)):
            (line,) = both.lines(endpoint)
            assert line.startswith("takes nothing for now; all is kept and tried again: ")


def test_ticks_go_on_while_a_sink_is_down(tmp_path: Path) -> None:
    port = free_port()
    with pair(tmp_path, f"http://127.0.0.1:{port}/") as both:
        both.agent.wait_for(lambda: both.value(RETRIED, endpoint="bad") > 0, "a second try")
        both.tick_on(5)
        for endpoint in ("bad", f"127.0.0.1:{port}"):
            (line,) = both.lines(endpoint)
            assert line.endswith(f"127.0.0.1 port {port}: Connection refused")


@pytest.mark.parametrize(
    ("status", "condition"),
    [
        (400, "refuses what is sent, and it is dropped"),
        (403, "refuses what somebody has to mend; all is kept and tried again slowly"),
        (500, "takes nothing for now; all is kept and tried again"),
    ],
)
def test_a_refusal_is_told_once_with_the_servers_own_words(tmp_path: Path, status: int, condition: str) -> None:
    with scripted(reply(status, b"quota \x1b[31m of team-a\nused up")) as server, pair(tmp_path, server.url) as both:
        both.agent.wait_for(lambda: both.lines("bad") and both.lines(gateway_of(server.url)), "a word")
        both.tick_on(5)
        for endpoint in ("bad", gateway_of(server.url)):
            line, *_ = both.lines(endpoint)
            assert line.startswith(f"{condition}: {status} ")
            assert line.endswith("of team-a used up")
            assert line.isprintable()
        assert len(both.lines("bad")) == 1


def test_that_a_sink_is_well_again_is_told_once_and_nothing_was_lost(tmp_path: Path) -> None:
    refusing, accepting = reply(503, b"warming up"), reply(204)
    with scripted(*[refusing] * 6, accepting) as server, pair(tmp_path, server.url) as both:
        both.agent.wait_for(lambda: len(both.lines("bad")) == 2, "that it is well")
        both.tick_on(3)
        away, back = both.lines("bad")
        assert away.startswith("takes nothing for now")
        assert "503" in away
        assert away.endswith("warming up")
        assert back == "accepts what is sent"
        given = both.value("ss_pusher_samples_total", endpoint="bad")
        both.agent.wait_for(lambda: both.value(SENT, endpoint="bad") >= given, "what had waited")
        assert both.value("ss_pusher_samples_dropped_total", endpoint="bad", reason="refused") == 0


def test_a_sink_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with scripted(silence) as server:
        file = written(
            tmp_path, f"shutdown_deadline: 300ms\nremote_write: [{{url: '{server.url}', remote_timeout: 1h}}]"
        )
        with running(tmp_path, "agent", "--config", file) as agent:
            agent.wait_for(lambda: server.requests, "a request that hangs")
            began = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - began < 10
            assert "did not accept everything that was pushed" in agent.logged()
