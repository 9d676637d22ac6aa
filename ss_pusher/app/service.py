"""The agent as a service: for as long as it runs, and with one configuration after the other."""

import logging
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Final, NamedTuple

from ss_pusher.app.agent import Agent, finish_all
from ss_pusher.app.build import build_agent
from ss_pusher.app.endpoints import Endpoint, ExposeEndpoint
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


class _Running(NamedTuple):
    wanted: Wanted
    endpoint: Endpoint


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
        self._running = [_Running(wanted, wanted.make()) for wanted in self._wanted(config, clock, agent.telemetry)]
        self._agent = replace(agent, endpoints=_endpoints(self._running))
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
        self._refused = False

    def run(self, stop: StopSignal) -> bool:
        """Tick until `stop` is set, push a last time; whether everything since the start was accepted.

        Raises:
            AddressInUseError: the address to expose at is taken, or not this host's.
            UnsupportedHostError: this kernel cannot tell of its sockets.
        """
        self._agent.start()
        self._say("reading")
        try:
            self._loop.run(stop)
            self._manager.stopping()
            logger.info("stopping; what waits may still be sent for %g s", self._agent.config.shutdown_deadline)
        finally:
            sent = self._agent.finish()
        return sent

    def ask_to_reload(self) -> None:
        """Take the configuration anew before the next tick. A signal handler may call it."""
        self._asked = True

    # ---- on the thread that ticks -----------------------------------------------------------------------------------

    def _tick(self, time_ms: int, export: bool) -> None:  # noqa: FBT001 - what the loop knows of this tick
        self._agent.tick(time_ms, export)
        if not self._ready:
            self._manager.ready()
            self._ready = True
        self._tell_status()

    def _tell_status(self) -> None:
        refused = "configuration refused; " if self._refused else ""
        self._manager.status(refused + status(self._agent))

    def _awake(self) -> None:
        if self._manager.watchdog:
            self._manager.alive()
        if self._asked:
            self._asked = False
            self._reload()

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
        self._tell_status()
        if self._ready:
            self._manager.ready()

    def _take(self, config: Config) -> None:
        """Go on with another configuration; whatever is raised, nothing has changed."""
        before = self._agent
        wanted = list(self._wanted(config, before.clock, before.telemetry))
        stay = [running for running in self._running if running.wanted.same in [each.same for each in wanted]]
        leave = [running for running in self._running if running not in stay]
        come = [each for each in wanted if each.same not in [running.wanted.same for running in stay]]
        held = [running.wanted.holds for running in leave if running.wanted.holds is not None]
        after = renewed(before, config)
        try:
            began = _begin([each for each in come if each.holds not in held])
        except SsPusherError:
            if after.filtering is not before.filtering:
                after.close()
            raise
        self._finish(leave)
        if leave:
            after.pipeline.previous_ms += 1  # the time of their last markers, behind which new series begin
        began += _begin_or_say([each for each in come if each.holds in held])
        order = [each.same for each in wanted]
        self._running = sorted([*stay, *began], key=lambda running: order.index(running.wanted.same))
        for name in {running.endpoint.name for running in leave} - {running.endpoint.name for running in self._running}:
            before.telemetry.forget(endpoint=name)
        settle(before, after)
        self._agent = replace(after, endpoints=_endpoints(self._running))
        self._loop.interval, self._loop.splay = config.interval, splay(self._host, config.external_labels)

    def _finish(self, leaving: Sequence[_Running]) -> None:
        agent = self._agent
        deadline = agent.clock.monotonic() + agent.config.shutdown_deadline
        taken = finish_all(_endpoints(leaving), agent.pipeline.previous_ms + 1, deadline, agent.clock)
        for name in (running.endpoint.name for running in leaving if running.endpoint.name not in taken):
            logger.warning("%s did not accept everything before its section was changed", name)

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


def _endpoints(running: Sequence[_Running]) -> tuple[Endpoint, ...]:
    return tuple(each.endpoint for each in running)


def _begin(wanted: Sequence[Wanted]) -> list[_Running]:
    """Make and start them, all or none. Raises SpoolError and AddressInUseError."""
    began: list[_Running] = []
    try:
        for each in wanted:
            endpoint = each.make()
            endpoint.start()
            began.append(_Running(each, endpoint))
    except SsPusherError:
        for running in began:
            running.endpoint.finish(0, 0)
        raise
    return began


def _begin_or_say(wanted: Sequence[Wanted]) -> list[_Running]:
    """The same for those that had to wait for others to end, when there is no way back."""
    try:
        return _begin(wanted)
    except SsPusherError as error:
        logger.error("not every endpoint could begin: %s", error)  # noqa: TRY400 - a trace helps nobody
        return []
