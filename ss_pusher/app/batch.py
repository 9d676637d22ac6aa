"""A batch job's session: looks at its sockets in a thread of its own while it runs, and pushes once before the end."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Final, TypeAlias

import numpy as np

from ss_pusher.app.agent import Agent, finish_all
from ss_pusher.app.build import build_agent
from ss_pusher.app.endpoints import Endpoint
from ss_pusher.app.pipeline import Collect
from ss_pusher.batch import outcome as outcomes
from ss_pusher.batch.outcome import Outcome
from ss_pusher.batch.pace import Pace
from ss_pusher.batch.sockets import Dumps, JobSockets
from ss_pusher.batch.summary import Summary
from ss_pusher.config import Config
from ss_pusher.loop import Clock, Loop
from ss_pusher.metrics import host
from ss_pusher.model import Block, HistogramBlock, Snapshot
from ss_pusher.netlink.bytecode import any_of, assemble, cgroup_is
from ss_pusher.netlink.filter import Program
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

LATE_EVENTS: Final = 0.03
"""Seconds in which the kernel has announced the end of the sockets of a process that has just ended."""

OwnMetrics: TypeAlias = tuple[tuple[Block, ...], tuple[HistogramBlock, ...]]
"""What is said of the job besides its flows."""


class Session:
    """From the start of a job to its last push. What goes wrong in it is logged, and never the job's concern."""

    def __init__(
        self,
        config: Callable[[], Config],
        sockets: JobSockets,
        *,
        began: float,
        cgroups: Callable[[], Sequence[int]] = list,
        interval: float | None = None,
        baseline: bool = False,
        own: Callable[[Outcome | None, int], OwnMetrics] | None = None,
    ) -> None:
        """`config` is asked when the sockets are opened and when the endpoints are.

        `began` is Unix time in seconds, `interval` in seconds how often to push while the job runs. With `baseline`
        the job has sockets already, and what they moved before is not its own. `own` gives the job's own metrics: of
        its outcome, if it has ended, and of `began` in milliseconds.
        """
        self._config: Final = config
        self._sockets: Final = sockets
        self._began: Final = began
        self._cgroups: Final = cgroups
        self._interval: Final = interval
        self._own: Final = own or self._outcome_only
        self._clock: Final = Clock()
        self._telemetry: Final = Telemetry()
        self._snapshot = Snapshot(int(began * 1000), 0, ())
        self._pushed_ms = 0
        self._baseline: Final = baseline
        self._endpoints: list[Endpoint] = []
        self._flow_families: frozenset[str] = frozenset()
        self._outcome: Outcome | None = None
        self._deadline = float("inf")
        self._over: Final = threading.Event()
        self._looking: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="batch", daemon=True)
        self.summary: Final = Summary()

    def start(self) -> None:
        """Begin to look; with a baseline, when it stands."""
        self._thread.start()
        if self._baseline:
            self._looking.wait(_MOST_FOR_BASELINE)

    def finish(self, outcome: Outcome) -> None:
        """Look a last time and push; returns within `shutdown_deadline`, whatever became of it."""
        self._outcome = outcome
        self._deadline = self._clock.monotonic() + self._config().shutdown_deadline
        self._over.set()
        self._thread.join(max(self._deadline - self._clock.monotonic(), 0))
        if self._thread.is_alive():
            logger.warning("the last push was not over in time")

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - the job goes on, whatever becomes of us
            logger.warning("the job's sockets cannot be told: %s", error)
        self._looking.set()
        try:
            self._over.wait()
            self._push(self._deadline)
        except Exception as error:  # noqa: BLE001 - the same
            logger.warning("the job's metrics cannot be pushed: %s", error)

    def _watch(self) -> None:
        agent = build_agent(self._config(), lambda _: [], self._clock, self._narrow)
        _narrowed(agent, self._sockets, self._baseline)
        self._flow_families = agent.pipeline.plan.exported
        loop = Loop(lambda time_ms, _: self._tick(agent, time_ms), 1.0, self._clock, self._telemetry)
        try:
            loop.once()
            self._looking.set()
            threading.Thread(target=import_module, args=("ss_pusher.app.sinks",), daemon=True).start()
            self._poll(loop)
            loop.once()
            time.sleep(LATE_EVENTS)
            loop.once()
        finally:
            agent.close()

    def _poll(self, loop: Loop) -> None:
        pace = Pace(time.thread_time, self._clock.monotonic)
        due = self._clock.monotonic() + self._interval if self._interval else float("inf")
        pause = 0.0
        while not self._over.wait(pause):
            loop.once()
            if self._clock.monotonic() >= due and self._interval:
                self._show()
                due = self._clock.monotonic() + self._interval
            pause = pace.next()

    def _tick(self, agent: Agent, time_ms: int) -> None:
        # What began since the last push begins there for whoever receives this one.
        agent.pipeline.previous_ms = self._pushed_ms
        self._snapshot = agent.pipeline.tick(time_ms)
        self._pushed_ms = self._pushed_ms or time_ms
        self.summary.observe(self._snapshot)

    def _push(self, deadline: float) -> None:
        time_ms = self._show()
        # A Pushgateway's answer or a server's must be here before the one who waits for us gives up.
        finish_all(self._endpoints, time_ms + 1, deadline - _BEFORE_THE_END, self._clock)

    def _show(self) -> int:
        """Hand what is known now to every endpoint; its time."""
        if not self._endpoints:
            self._endpoints = self._open()
            for endpoint in self._endpoints:
                endpoint.start()
        time_ms = max(int(self._clock.wall() * 1000), self._snapshot.time_ms, self._pushed_ms + 1)
        blocks, histograms = self._own(self._outcome, int(self._began * 1000))
        said = Snapshot(time_ms, self._pushed_ms, (*self._snapshot.blocks, *blocks), histograms)
        for endpoint in self._endpoints:
            endpoint.push(said)
        self._pushed_ms = time_ms
        return time_ms

    def _open(self) -> list[Endpoint]:
        from ss_pusher.app.sinks import make_endpoints  # noqa: PLC0415 - an HTTP client: after the job has begun

        return make_endpoints(
            self._config(),
            self._clock,
            self._telemetry,
            stale_on_exit=True,
            lasts=lambda block: block.families[0].name not in self._flow_families,
            method=lambda: "PUT" if self._outcome and self._outcome.exit_code == 0 else "POST",
            beside=True,
        )

    def _outcome_only(self, outcome: Outcome | None, _began_ms: int) -> OwnMetrics:
        return tuple(outcomes.blocks(self._began, outcome)), ()

    def _narrow(self, program: Program) -> Program:
        """Only the job's cgroups, where it has any: the kernel then copies no other socket."""
        numbers = list(self._cgroups())[:_MOST_CGROUPS]
        if not numbers:
            return program
        return program._replace(bytecode=assemble([(any_of(map(cgroup_is, numbers)), True), (True, False)]))


_MOST_CGROUPS: Final = 64
_MOST_FOR_BASELINE: Final = 5.0
_BEFORE_THE_END: Final = 0.1
_NO_ROWS: Final = np.empty(0, np.intp)


def _narrowed(agent: Agent, sockets: JobSockets, baseline: bool) -> None:  # noqa: FBT001 - see `Session`
    """Let the pipeline count the job's flows only, and say nothing of the host."""
    pipeline = agent.pipeline
    plan = pipeline.plan
    flows = {host.FLOW_SOCKETS.name, *(c.family.name for c in plan.counters), *(g.family.name for g in plan.gauges)}
    collect, keep = pipeline.collect, pipeline.keep
    pipeline.plan = replace(plan, exported=plan.exported & flows, histograms=())
    pipeline.distributions = ()
    pipeline.own_blocks = lambda _: ()
    pipeline.keep = lambda rows, attributes: keep(rows, attributes) & sockets.own(rows)
    pipeline.collect = _JobCollect(collect, sockets, baseline=baseline)


class _JobCollect:
    """Reads the kernel for a job. Without a baseline its sockets are all new: the first dump is empty."""

    def __init__(self, collect: Collect, sockets: JobSockets, *, baseline: bool) -> None:
        self._collect: Final = collect
        self._sockets: Final = sockets
        self._stands = baseline
        self.closed: Final = collect.closed

    def dump(self) -> Dumps:
        """All sockets that may be the job's. Raises CollectError."""
        if self._stands:
            return self._sockets.read(self._collect.dump)
        self._stands = True
        return [(namespace, sockets.take(_NO_ROWS)) for namespace, sockets in self._collect.dump()]
