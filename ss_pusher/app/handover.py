"""Which endpoints run, and how others take their place: nobody else waits for the last words of one that goes."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from ss_pusher.app.endpoints import Endpoint
from ss_pusher.app.sinks import Wanted
from ss_pusher.clock import Clock
from ss_pusher.errors import SsPusherError
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

_SLACK: Final = 1.0
"""Seconds beyond a deadline in which an endpoint may end."""


class _Running(NamedTuple):
    wanted: Wanted
    endpoint: Endpoint


class _Leaving:
    """An endpoint that sends its last on a thread of its own, and ends."""

    def __init__(self, running: _Running, time_ms: int, deadline: float, ended: Callable[[], None]) -> None:
        self.running: Final = running
        self.over = False
        self._ended: Final = ended
        name = f"end {running.endpoint.name}"
        self._thread = threading.Thread(target=self._finish, args=(time_ms, deadline), name=name, daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait until it is over, at most so long."""
        self._thread.join(seconds)

    def _finish(self, time_ms: int, deadline: float) -> None:
        endpoint = self.running.endpoint
        try:
            if not endpoint.finish(time_ms, deadline):
                logger.warning("%s did not accept everything before its section was changed", endpoint.name)
        finally:
            self.over = True
            self._ended()


class Handover:
    """The endpoints of a service, those that still leave, and those that can begin only when these have."""

    def __init__(self, wanted: Iterable[Wanted], clock: Clock, telemetry: Telemetry) -> None:
        """They are made, not started.

        Raises:
            SpoolError: an endpoint's spool cannot be opened.
            ConfigError: a file that one of them names cannot be used.
        """
        self._clock: Final = clock
        self._telemetry: Final = telemetry
        self.ended: Callable[[], None] = lambda: None
        """Called whenever one has left, on a thread of its own."""
        self._running = [_Running(each, each.make()) for each in wanted]
        self._order = [running.wanted.same for running in self._running]
        self._leaving: list[_Leaving] = []
        self._coming: list[Wanted] = []

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Those that run, in the order of the configuration."""
        return tuple(running.endpoint for running in self._running)

    def is_over(self) -> bool:
        """Whether nobody leaves any more, and so nobody waits for that."""
        return not self._leaving

    def change(self, wanted: Sequence[Wanted], time_ms: int, deadline: float) -> bool:
        """Go on with these: whether any leaves for it. It ends its series at `time_ms`, and itself by `deadline`.

        Raises:
            SpoolError, AddressInUseError, ConfigError: one cannot begin; then nothing has changed.
        """
        order = [each.same for each in wanted]
        stay = [running for running in self._running if running.wanted.same in order]
        leave = [running for running in self._running if running not in stay]
        come = [each for each in wanted if each.same not in [running.wanted.same for running in stay]]
        held = _held([*leave, *(leaving.running for leaving in self._leaving)])
        began = _begin([each for each in come if each.holds.isdisjoint(held)])
        self._order = order
        self._coming = [each for each in come if not each.holds.isdisjoint(held)]
        self._leaving += [_Leaving(running, time_ms, deadline, self.ended) for running in leave]
        self._run([*stay, *began])
        return bool(leave)

    def go_on(self) -> None:
        """Begin what waited for one that has left, and forget what was counted of this one."""
        ended = [leaving for leaving in self._leaving if leaving.over]
        self._leaving = [leaving for leaving in self._leaving if leaving not in ended]
        held = _held([leaving.running for leaving in self._leaving])
        ready = [each for each in self._coming if each.holds.isdisjoint(held)]
        self._coming = [each for each in self._coming if each not in ready]
        self._run([*self._running, *(running for each in ready for running in _begin_or_say(each))])
        names = {running.endpoint.name for running in self._running}
        for name in {leaving.running.endpoint.name for leaving in ended} - names:
            self._telemetry.forget(endpoint=name)

    def wait(self, deadline: float) -> None:
        """Wait until all that leave have, at most until `deadline` (monotonic) and a moment."""
        for leaving in self._leaving:
            leaving.join(max(0.0, deadline + _SLACK - self._clock.monotonic()))

    def _run(self, running: Iterable[_Running]) -> None:
        self._running = sorted(running, key=lambda each: self._order.index(each.wanted.same))


def _held(running: Sequence[_Running]) -> frozenset[object]:
    return frozenset().union(*(each.wanted.holds for each in running))


def _begin(wanted: Sequence[Wanted]) -> list[_Running]:
    """Make and start them, all or none. Raises SpoolError, AddressInUseError and ConfigError."""
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


def _begin_or_say(wanted: Wanted) -> list[_Running]:
    """The same for one that had to wait for another to end, when there is no way back."""
    try:
        return _begin([wanted])
    except SsPusherError as error:
        logger.error("not every endpoint could begin: %s", error)  # noqa: TRY400 - a trace helps nobody
        return []
