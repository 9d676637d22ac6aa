"""What is read of a job: an agent's pipeline that counts the job's flows only, and cheaper looks between its ticks."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np

from ss_pusher.app.build import build_agent
from ss_pusher.app.pipeline import Collect, Pipeline
from ss_pusher.batch.opens import Opens
from ss_pusher.batch.sockets import Dumps, JobSockets
from ss_pusher.batch.summary import Summary
from ss_pusher.clock import Clock
from ss_pusher.config import Config
from ss_pusher.errors import CollectError
from ss_pusher.loop import Loop
from ss_pusher.metrics import host
from ss_pusher.model import Snapshot, Sockets
from ss_pusher.netlink.bytecode import any_of, assemble, cgroup_is
from ss_pusher.netlink.filter import Program
from ss_pusher.telemetry import Telemetry

_MOST_CGROUPS: Final = 64
_FEW: Final = 200
"""Sockets of a host that may be copied in each look, so that those of others are known too."""
_NO_ROWS: Final = np.empty(0, np.intp)


class Watch:
    """A job's flows so far. Used by one thread, which must have been in the network namespace of the job."""

    def __init__(
        self,
        config: Config,
        sockets: JobSockets,
        clock: Clock,
        *,
        cgroups: Callable[[], Sequence[int]],
        baseline: bool,
    ) -> None:
        """With a `baseline` the job has sockets already, and what they moved before is not its own.

        Raises:
            ConfigError: the limits leave no room for what is always exported.
            UnsupportedHostError: this host has no sock_diag.
            CollectError: it has, but gives nothing now.
        """
        self._cgroups: Final = cgroups
        self._agent: Final = build_agent(config, lambda _: [], clock, self._narrow)
        self._collect: Final = _narrowed(self._agent.pipeline, sockets, baseline=baseline)
        self._loop: Final = Loop(lambda time_ms, _: self._tick(time_ms), 1.0, clock, Telemetry())
        self._opens: Final = Opens()
        # Only the connections of one namespace are counted.
        self._is_alone: Final = set(config.collect.namespaces) == {"self"}
        self._hears_closes: Final = config.collect.closed_flows
        self.flow_families: Final = self._agent.pipeline.plan.exported
        self.snapshot: Snapshot | None = None
        self.pushed_ms = 0
        self.summary: Final = Summary()

    def look(self, *, anyway: bool) -> bool:
        """Learn which sockets are the job's, `anyway` or if a connection was opened since the last time: whether so."""
        if not (self._opens.changed() or anyway or not self._is_alone):
            return False
        with suppress(CollectError):  # the next tick says so
            self._collect.look()
        return True

    def tick(self) -> None:
        """Read everything. What goes wrong is logged, and the next tick may do better."""
        self._loop.once()

    def awaited(self) -> int:
        """How many of the job's flows are gone, while the kernel has not announced their end yet."""
        return self._agent.pipeline.ledger.awaited()

    def unattributed(self) -> int | None:
        """How many connections closed of which it is unknown whose they were; None if nobody listens for that."""
        return self._collect.sockets.unseen.count if self._hears_closes else None

    def close(self) -> None:
        """Give the sockets back."""
        self._opens.close()
        self._agent.close()

    def _tick(self, time_ms: int) -> None:
        # What began since the last push begins there for whoever receives this one.
        self._agent.pipeline.previous_ms = self.pushed_ms
        self.snapshot = self._agent.pipeline.tick(time_ms)
        self.pushed_ms = self.pushed_ms or time_ms
        self.summary.observe(self.snapshot)

    def _narrow(self, program: Program) -> Program:
        """On a host with many sockets only those of the job's cgroups, if it has any: the kernel copies no other."""
        numbers = self._cgroups() if self._collect.most > _FEW else []
        if not 0 < len(numbers) <= _MOST_CGROUPS:
            return program
        return program._replace(bytecode=assemble([(any_of(map(cgroup_is, numbers)), True), (True, False)]))


class _JobCollect:
    """Reads the kernel for a job. Without a baseline its sockets are all new: to the ledger the first dump is empty."""

    def __init__(self, collect: Collect, sockets: JobSockets, *, baseline: bool) -> None:
        self._collect: Final = collect
        self._stands = baseline
        self.sockets: Final = sockets
        self.most = 0  # sockets in a dump

    def look(self) -> Dumps:
        """Learn which sockets are the job's; all there are, or fewer. Raises CollectError."""
        return self.sockets.look(self._dump)

    def dump(self) -> Dumps:
        """All sockets that may be the job's. Raises CollectError."""
        if self._stands:
            return self.sockets.read(self._dump)
        dumps = self.look()
        self._stands = True
        return [(namespace, sockets.take(_NO_ROWS)) for namespace, sockets in dumps]

    def closed(self) -> tuple[list[tuple[str, Sockets]], bool]:
        """The sockets that were destroyed since the last call, and whether these are all."""
        closed, complete = self._collect.closed()
        for _, sockets in closed:
            self.sockets.unseen.closed(sockets)
        return closed, complete

    def _dump(self) -> Dumps:
        dumps = self._collect.dump()
        self.most = max(self.most, *(len(sockets) for _, sockets in dumps))
        return dumps


def _narrowed(pipeline: Pipeline, sockets: JobSockets, *, baseline: bool) -> _JobCollect:
    """Let the pipeline count the job's flows only, and say nothing of the host."""
    plan = pipeline.plan
    flows = {host.FLOW_SOCKETS.name, *(c.family.name for c in plan.counters), *(g.family.name for g in plan.gauges)}
    keep, collect = pipeline.keep, _JobCollect(pipeline.collect, sockets, baseline=baseline)
    pipeline.plan = replace(plan, exported=plan.exported & flows, histograms=())
    pipeline.distributions = ()
    pipeline.own_blocks = lambda _: ()
    pipeline.keep = lambda rows, attributes: keep(rows, attributes) & sockets.own(rows)
    pipeline.collect = collect
    return collect
