"""The agent as a service: for as long as it runs, and with one configuration after the other."""

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Final

from ss_pusher.app.agent import Agent
from ss_pusher.app.build import build_agent
from ss_pusher.app.endpoints import Endpoint, ExposeEndpoint
from ss_pusher.app.handover import Handover
from ss_pusher.app.memory import queue_room, tell_room
from ss_pusher.app.renewal import renewed, settle
from ss_pusher.app.sinks import Wanted, wanted_endpoints
from ss_pusher.app.splay import splay, this_host
from ss_pusher.clock import Clock
from ss_pusher.clock_sync import believed
from ss_pusher.config import Config
from ss_pusher.errors import ConfigError, SsPusherError
from ss_pusher.loop import Loop
from ss_pusher.notify import ServiceManager
from ss_pusher.stop import StopSignal
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)


class Service:
    """Ticks, tells the service manager how it is doing, and takes a new configuration when it is asked to."""

    def __init__(self, load: Callable[[], Config], clock: Clock, manager: ServiceManager) -> None:
        """`load` reads the configuration as it is now.

        Raises:
            ConfigError: it cannot be used.
            SpoolError: an endpoint's spool cannot be opened.
            UnsupportedHostError: this host has no sock_diag.
            CollectError: it has, but gives nothing now.
        """
        self._load: Final = load
        self._manager: Final = manager
        config = load()
        self._room: Final = queue_room()
        if self._room and config.spool.directory is None:
            tell_room(self._room)
        agent = build_agent(config, lambda _: [], clock)
        wanted = self._wanted(config, clock, agent.telemetry)
        self._handover: Final = Handover(wanted, clock, agent.telemetry)
        self._agent = replace(agent, endpoints=self._handover.endpoints())
        self._host: Final = this_host()
        self._loop: Final = Loop(
            self._tick,
            config.interval,
            clock,
            agent.telemetry,
            splay=splay(self._host, config.external_labels),
            believed=believed,
            moved=lambda milliseconds: self._agent.move(milliseconds),  # noqa: PLW0108 - whichever agent it is then
            awake=self._awake,
            longest_wait=manager.watchdog / 2 or math.inf,
        )
        self._ready = False
        self._asked = False
        self._reloading = False
        self._refused = False
        self._failing = ""

    def run(self, stop: StopSignal) -> bool:
        """Tick until `stop` is set, push a last time; whether everything since the start was accepted.

        Raises:
            AddressInUseError: the address to expose at is taken, or not this host's.
            UnsupportedHostError: this kernel cannot tell of its sockets.
        """
        self._handover.ended = stop.wake
        self._agent.start()
        self._say("reading")
        try:
            self._loop.run(stop)
            self._manager.stopping()
            logger.info("stopping; what waits may still be sent for %g s", self._agent.config.shutdown_deadline)
        finally:
            deadline = self._agent.clock.monotonic() + self._agent.config.shutdown_deadline
            sent = self._agent.finish()
            self._handover.wait(deadline)
        return sent

    def ask_to_reload(self) -> None:
        """Take the configuration anew before the next tick. A signal handler may call it."""
        self._asked = True

    # ---- on the thread that ticks -----------------------------------------------------------------------------------

    def _tick(self, time_ms: int, export: bool) -> None:  # noqa: FBT001 - what the loop knows of this tick
        try:
            self._agent.tick(time_ms, export)
        except Exception as error:
            self._failing = f"ticks fail: {str(error) or repr(error)}; "
            self._tell_status()
            raise
        self._failing = ""
        if not self._ready:
            self._manager.ready()
            self._ready = True
        self._tell_status()

    def _tell_status(self) -> None:
        refused = "configuration refused; " if self._refused else ""
        self._manager.status(refused + self._failing + status(self._agent))

    def _awake(self) -> None:
        if self._manager.watchdog:
            self._manager.alive()
        if self._asked:
            self._asked = False
            self._reload()
        if self._reloading:
            self._hand_over()

    def _reload(self) -> None:
        self._manager.reloading(time.monotonic_ns())
        try:
            self._take(self._load())
        except (SsPusherError, OSError) as error:
            for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
                logger.error("the new configuration is refused: %s", problem)  # noqa: TRY400 - a trace helps nobody
            logger.warning("the old configuration goes on")
            self._refused = True
        else:
            self._say("a new configuration: reading")
            self._refused = False
        self._reloading = True
        self._tell_status()

    def _hand_over(self) -> None:
        """The reload is over when all have left that had to, and nobody waits for it."""
        self._handover.go_on()
        self._agent = replace(self._agent, endpoints=self._handover.endpoints())
        if self._handover.is_over():
            self._reloading = False
            self._tell_status()
            if self._ready:
                self._manager.ready()

    def _take(self, config: Config) -> None:
        """Go on with another configuration; whatever is raised, nothing has changed."""
        before = self._agent
        wanted = list(self._wanted(config, before.clock, before.telemetry))
        deadline = before.clock.monotonic() + before.config.shutdown_deadline
        after = renewed(before, config)
        try:
            leave = self._handover.change(wanted, before.pipeline.previous_ms + 1, deadline)
        except SsPusherError:
            if after.filtering is not before.filtering:
                after.close()
            raise
        if leave:
            after.pipeline.previous_ms += 1  # the time of their last markers, behind which new series begin
        settle(before, after)
        self._agent = replace(after, endpoints=self._handover.endpoints())
        self._loop.interval, self._loop.splay = config.interval, splay(self._host, config.external_labels)

    def _wanted(self, config: Config, clock: Clock, telemetry: Telemetry) -> Iterator[Wanted]:
        return wanted_endpoints(config, clock, telemetry, stale_on_exit=True, room=self._room)

    def _say(self, what: str) -> None:
        names = ", ".join(endpoint.name for endpoint in self._agent.endpoints)
        logger.info("%s every %g s, pushing to %s", what, self._agent.config.interval, names)


def status(agent: Agent) -> str:
    """One line: up to when each endpoint has taken what was pushed (UTC), and how much still waits for it."""
    return ", ".join(_status(endpoint, agent.telemetry) for endpoint in agent.endpoints)


def _status(endpoint: Endpoint, telemetry: Telemetry) -> str:
    name = endpoint.name
    if isinstance(endpoint, ExposeEndpoint):
        return f"{name}: shows the last tick"
    if not telemetry.value("ss_pusher_samples_total", endpoint=name):
        return f"{name}: nothing to push"
    taken = telemetry.value("ss_pusher_queue_highest_sent_timestamp_seconds", endpoint=name)
    last = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(taken)) if taken else "never"
    waiting = telemetry.value("ss_pusher_samples_pending", endpoint=name)
    return f"{name}: last push {last}, {waiting:.0f} samples wait"


@contextmanager
def reload_on_hangup(stop: StopSignal, service: Service) -> Iterator[None]:
    """SIGHUP asks the service to reload, and wakes it."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        service.ask_to_reload()
        stop.wake()

    before = signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
