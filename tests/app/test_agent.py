"""The agent when the kernel refuses, when a stage has a bug, when it is told to end."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ss_pusher.app import sinks
from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock, Timeline
from ss_pusher.config import parse
from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.netlink.dump import Dumper
from ss_pusher.receiver import Receiver
from ss_pusher.stop import StopSignal
from tests.accounting.agent import Recorder
from tests.end_to_end.connections import Service, service
from tests.waiting import wait_for

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
def edge(clock: Clock | None = None) -> Iterator[tuple[Agent, Receiver, Service]]:
    """An agent that reads the flows of a service, and where it pushes to."""
    with service() as some, Receiver() as receiver:
        text = CONFIG.format(port=some.port, receiver=receiver.url)
        config = parse(text.encode(), "config.yml", directory=Path()).config
        clock = clock or Clock()
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


@pytest.mark.parametrize("from_the_start", [False, True])
def test_what_the_receiver_takes_for_the_future_waits_and_is_dropped_when_the_clock_is_put_right(
    monkeypatch: pytest.MonkeyPatch,
    from_the_start: bool,  # noqa: FBT001 - a parameter of pytest's
) -> None:
    monkeypatch.setattr(sinks, "synchronised", lambda: False)  # the kernel does not vouch for the clock
    offset = [3600.0 if from_the_start else 0.0]
    with edge(Clock(wall=lambda: time.time() + offset[0])) as (agent, receiver, some):
        some.connect()
        agent.start()
        line = Timeline(agent.clock)

        def tick() -> None:
            moment = line.next()
            if moment.moved_ms:
                agent.move(moment.moved_ms)
            agent.tick(moment.time_ms, moment.held is None)

        def value(name: str, **labels: str) -> float:
            return agent.telemetry.value(f"ss_pusher_{name}", endpoint=agent.endpoints[0].name, **labels)

        try:
            tick()
            if from_the_start:
                wait_for(lambda: value("clock_ahead_seconds") > 3500, "the receiver has told its time")
            else:
                wait_for(lambda: receiver.requests, "the first push has been answered")
            offset[0] = 3600.0
            tick()
            offset[0] = 0.0
            tick()
            tick()
        finally:
            agent.finish()
        assert value("samples_dropped_total", reason="future") > 0
        assert len(sent(receiver)) == (2 if from_the_start else 3)
    assert receiver.violations == []
    newest = max(sample.timestamp_ms for samples in receiver.series.values() for sample in samples)
    assert newest / 1000 <= time.time()


def test_what_bears_no_time_is_told_also_while_the_clock_is_behind() -> None:
    config = parse(b"expose: {listen_address: '127.0.0.1:1'}", "config.yml", directory=Path()).config
    timed, timeless = Recorder(), Recorder()
    timeless.bears_time = False
    agent = build_agent(config, lambda _: [timed, timeless], Clock())
    for number, export in enumerate((True, False, True), start=1):
        agent.tick(number, export)
    agent.close()
    assert [snapshot.time_ms for snapshot in timed.snapshots] == [1, 3]
    assert [snapshot.time_ms for snapshot in timeless.snapshots] == [1, 2, 3]


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
