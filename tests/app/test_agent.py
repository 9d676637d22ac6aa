"""The agent when the kernel refuses, when a stage has a bug, when it is told to end."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.netlink.dump import Dumper
from ss_pusher.receiver import Receiver
from ss_pusher.stop import StopSignal
from tests.end_to_end.connections import Service, service

CONFIG = """
interval: 20ms
external_labels: {{job: edge}}
collect: {{loopback: true}}
filter: [{{keep: {{service_ports: [{port}]}}}}, {{drop: {{}}}}]
group: {{by: [direction]}}
remote_write: [{{url: "{receiver}/api/v1/write"}}]
"""


def refuse() -> None:
    raise CollectError("the kernel refused")


def nothing() -> None:
    pass


def before_each_dump(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], None]) -> StopSignal:
    """Take a step before each dump, which fails with what the step raises; the last but one tells the agent to end."""
    dump, left, stop = Dumper.dump, list(steps), StopSignal()

    def stepping(self: Dumper, *args: Any, **kwargs: Any) -> Any:
        step = left.pop(0)
        if len(left) <= 1:
            stop.set()
        step()
        return dump(self, *args, **kwargs)

    monkeypatch.setattr(Dumper, "dump", stepping)
    return stop


@contextmanager
def edge() -> Iterator[tuple[Agent, Receiver, Service]]:
    """An agent that reads the flows of a service, and where it pushes to."""
    with service() as some, Receiver() as receiver:
        text = CONFIG.format(port=some.port, receiver=receiver.url)
        config = parse(text.encode(), "config.yml", directory=Path()).config
        clock = Clock()
        yield (
            build_agent(config, lambda t: make_endpoints(config, clock, t, stale_on_exit=False), clock),
            receiver,
            some,
        )


def sent(receiver: Receiver) -> list[float]:
    """What arrived of the bytes that this side sent, one number for each push."""
    key = (("__name__", "ss_flow_sent_bytes_total"), ("direction", "out"), ("job", "edge"))
    return [sample.value for sample in receiver.series[key]]


def ticks(agent: Agent) -> dict[str, float]:
    outcomes = ("ok", "failed", "clock_behind")
    return {outcome: agent.telemetry.value("ss_pusher_ticks_total", outcome=outcome) for outcome in outcomes}


def test_while_the_kernel_refuses_nothing_is_exported_and_afterwards_all_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with edge() as (agent, receiver, some):
        connection = some.connect()

        def ask_and_refuse() -> None:
            connection.ask(100)
            refuse()

        stop = before_each_dump(monkeypatch, nothing, ask_and_refuse, ask_and_refuse, nothing, nothing)
        assert agent.run(stop)
        assert sent(receiver) == [0, 200, 200]
        assert receiver.violations == []
        assert ticks(agent) == {"ok": 3, "failed": 2, "clock_behind": 0}
    said = [record.getMessage() for record in caplog.records if "tick" in record.getMessage()]
    assert said == [
        "tick failed, nothing is exported until one succeeds: the kernel refused",
        "ticks succeed again",
    ]


def test_what_moved_until_the_end_is_in_the_last_push(monkeypatch: pytest.MonkeyPatch) -> None:
    with edge() as (agent, receiver, some):
        connection = some.connect()
        assert agent.run(before_each_dump(monkeypatch, nothing, lambda: connection.ask(5), lambda: connection.ask(7)))
        assert sent(receiver) == [0, 5, 12]


def test_a_bug_in_a_stage_ends_no_agent(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    with edge() as (agent, receiver, some):
        some.connect()
        assert agent.run(before_each_dump(monkeypatch, nothing, bug, bug, nothing, nothing))
        assert sent(receiver) == [0, 0, 0]
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.getMessage().startswith("tick failed")


def test_a_kernel_that_cannot_do_it_at_all_ends_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported() -> None:
        raise UnsupportedHostError("no sock_diag")

    with edge() as (agent, receiver, _):
        with pytest.raises(UnsupportedHostError):
            agent.run(before_each_dump(monkeypatch, unsupported, nothing, nothing))
        assert receiver.requests == []


def test_one_tick_that_fails_is_no_success_and_pushes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with edge() as (agent, receiver, _):
        before_each_dump(monkeypatch, refuse)
        assert not agent.once()
        assert receiver.requests == []


def test_the_threads_of_an_agent_end_with_it() -> None:
    before = set(threading.enumerate())
    with edge() as (agent, _, _):
        assert agent.once()
    assert {thread.name for thread in set(threading.enumerate()) - before} == set()
