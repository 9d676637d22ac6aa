"""A batch job's session: watches its sockets in a thread of its own while it runs, and pushes once before the end."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from ss_pusher.app.agent import finish_all
from ss_pusher.app.endpoints import Endpoint
from ss_pusher.app.watch import Watch
from ss_pusher.batch import outcome as outcomes
from ss_pusher.batch.outcome import Outcome
from ss_pusher.batch.pace import Pace
from ss_pusher.batch.sockets import JobSockets
from ss_pusher.clock import Clock
from ss_pusher.config import Config
from ss_pusher.errors import SsPusherError
from ss_pusher.loop import LATE_EVENTS
from ss_pusher.model import Block, HistogramBlock, Snapshot
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

_LATER_EVENTS: Final = 0.15
"""Seconds in which it has done so on a busy host; so long is waited only for flows that were seen before."""
_BEFORE_THE_END: Final = 0.1

OwnMetrics: TypeAlias = tuple[tuple[Block, ...], tuple[HistogramBlock, ...]]
"""What is said of the job besides its flows."""


class Session:
    """From the start of a job to its last push. What goes wrong in it is logged, and never the job's concern.

    `began` is Unix time in seconds: when the job began, which whoever starts it sets.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        sockets: JobSockets,
        *,
        cgroups: Callable[[], Sequence[int]] = list,
        interval: float | None = None,
        baseline: bool = False,
        own: Callable[[Outcome | None, int], OwnMetrics] | None = None,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        """`config` is asked when the sockets are opened and when the endpoints are.

        `interval` in seconds is how often to push while the job runs. With `baseline` the job has sockets already, and
        what they moved before is not its own. `own` gives the job's own metrics: of its outcome, if it has ended, and
        of `began` in milliseconds. `used` tells how many seconds of CPU time were taken from the job's host.
        """
        self._config: Final = config
        self._sockets: Final = sockets
        self._cgroups: Final = cgroups
        self._interval: Final = interval
        self._own: Final = own or self._outcome_only
        self._used: Final = used
        self._clock: Final = Clock()
        self._baseline: Final = baseline
        self._watch: Watch | None = None
        self._endpoints: list[Endpoint] = []
        self._outcome: Outcome | None = None
        self._deadline = float("inf")
        self._over: Final = threading.Event()
        self._looking: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="batch", daemon=True)
        self.began = self._clock.wall()

    def start(self, patience: float) -> None:
        """Begin to watch; returns as soon as nothing of a job that begins then is missed, or after so many seconds."""
        self._thread.start()
        self._looking.wait(patience)

    def finish(self, outcome: Outcome) -> None:
        """Look a last time and push; returns within `shutdown_deadline`, whatever became of it."""
        self._outcome = outcome
        self._deadline = self._clock.monotonic() + self._config().shutdown_deadline
        self._over.set()
        self._thread.join(max(self._deadline - self._clock.monotonic(), 0))
        if self._thread.is_alive():
            logger.warning("the last push was not over in time")

    def summary(self) -> str:
        """Whom the job talked to, for people."""
        return self._watch.summary.text(self._watch.unattributed() or 0) if self._watch else ""

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001 - the job goes on, whatever becomes of us
            logger.warning("the job's sockets cannot be told: %s", error)
        self._looking.set()
        try:
            self._over.wait()
            self._push(self._deadline)
        except Exception as error:  # noqa: BLE001 - the same
            logger.warning("the job's metrics cannot be pushed: %s", error)

    def _follow(self) -> None:
        watch = Watch(self._config(), self._sockets, self._clock, cgroups=self._cgroups, baseline=self._baseline)
        self._watch = watch
        try:
            if not self._baseline:
                watch.look(
                    anyway=True
                )  # whoever is open now is not the job's, and the job need not wait for more than that
                self._looking.set()
            watch.tick()
            self._looking.set()
            self._poll(watch)
            watch.tick()
            ended = self._clock.monotonic()
            with suppress(SsPusherError):  # said when it is pushed
                self._open()
            self._hear(watch, ended)
        finally:
            watch.close()

    def _poll(self, watch: Watch) -> None:
        pace = Pace(self._used, self._clock.monotonic)
        due = self._clock.monotonic() + self._interval if self._interval else float("inf")
        while not self._over.wait(pace.next()):
            if self._interval and self._clock.monotonic() >= due:
                watch.tick()
                with pace.aside():
                    self._show()
                due = self._clock.monotonic() + self._interval
            elif pace.is_time_to_tick():
                watch.tick()
            elif watch.look(anyway=pace.is_time_to_look()):
                pace.looked()

    def _hear(self, watch: Watch, ended: float) -> None:
        """Wait until the kernel has announced the end of the job's sockets, and read what it told of them."""
        self._clock.sleep(max(ended + LATE_EVENTS - self._clock.monotonic(), 0))
        watch.tick()
        while watch.awaited() and self._clock.monotonic() < ended + _LATER_EVENTS:
            self._clock.sleep(LATE_EVENTS)
            watch.tick()

    def _push(self, deadline: float) -> None:
        time_ms = self._show()
        # A Pushgateway's answer or a server's must be here before the one who waits for us gives up.
        finish_all(self._endpoints, time_ms + 1, deadline - _BEFORE_THE_END, self._clock)

    def _show(self) -> int:
        """Hand what is known now to every endpoint; its time."""
        self._open()
        watch, began_ms = self._watch, int(self.began * 1000)
        seen = watch.snapshot if watch else None
        previous_ms = watch.pushed_ms if watch else 0
        time_ms = max(int(self._clock.wall() * 1000), seen.time_ms if seen else began_ms, previous_ms + 1)
        blocks, histograms = self._own(self._outcome, began_ms)
        unknown = watch.unattributed() if watch else None
        flows = (*(seen.blocks if seen else ()), *([] if unknown is None else [outcomes.unattributed(unknown)]))
        said = Snapshot(time_ms, previous_ms, (*flows, *blocks), histograms)
        for endpoint in self._endpoints:
            endpoint.push(said)
        if watch:
            watch.pushed_ms = time_ms
        return time_ms

    def _open(self) -> None:
        """Make the endpoints, once."""
        if self._endpoints:
            return
        config = self._config()
        if not config.has_sink():
            return
        from ss_pusher.app.sinks import make_endpoints  # noqa: PLC0415 - an HTTP client: the job need not wait for it

        flows = self._watch.flow_families if self._watch else frozenset()
        self._endpoints = make_endpoints(
            config,
            self._clock,
            Telemetry(),
            stale_on_exit=True,
            lasts=lambda block: block.families[0].name not in flows,
            method=lambda: "PUT" if self._outcome and self._outcome.exit_code == 0 else "POST",
            beside=True,
        )
        for endpoint in self._endpoints:
            endpoint.start()

    def _outcome_only(self, outcome: Outcome | None, _began_ms: int) -> OwnMetrics:
        return tuple(outcomes.blocks(self.began, outcome)), ()
