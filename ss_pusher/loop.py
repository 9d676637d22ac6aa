"""The tick: when it is due, what time it bears, and the one place that catches what goes wrong in it."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

PATIENCE_MS: Final = 600_000
"""A clock that was set back by less is waited for; one that was set back further is believed."""
_NEWS_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from. `wall` is Unix time and may be set; `monotonic` never goes back. Both in seconds."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Timeline:
    """Gives every tick its time, so that no series goes back in time when the clock does."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall: Final = wall
        self._last_ms = 0
        self._behind = False

    def next(self) -> tuple[int, bool]:
        """The time of this tick in Unix milliseconds, and whether it may be exported.

        While the clock is behind the last tick, ticks are accounted for but not exported: receivers refuse what is out
        of order. Their increments are in the next tick that is.
        """
        now_ms = int(self._wall() * 1000)
        behind_ms = self._last_ms - now_ms
        if 0 <= behind_ms < PATIENCE_MS:
            if behind_ms >= _NEWS_MS and not self._behind:
                words = "the clock was set back: for %.0f s nothing is exported, and after that all that was counted"
                logger.warning(words, behind_ms / 1000)
                self._behind = True
            self._last_ms += 1
            return self._last_ms, False
        self._behind = False
        if behind_ms >= PATIENCE_MS:
            logger.warning("the clock was set back by %.0f s: samples go on from its new time", behind_ms / 1000)
        self._last_ms = now_ms
        return now_ms, True


class Stages:
    """Times and counts the stages of a tick."""

    def __init__(self, telemetry: Telemetry, monotonic: Callable[[], float]) -> None:
        self.telemetry: Final = telemetry
        self._monotonic: Final = monotonic
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of the block to `stage`."""
        began = self._monotonic()
        try:
            yield
        finally:
            took = self._monotonic() - began
            self.seconds[stage] = self.seconds.get(stage, 0.0) + took
            self.telemetry.add("ss_pusher_stage_seconds_total", took, stage=stage)


class Stop(Protocol):
    """What ends a loop; threading.Event is one."""

    def is_set(self) -> bool:
        """Whether it is time."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is, or `timeout` seconds: whether it is."""


class Loop:
    """Ticks at an interval until it is told to stop."""

    def __init__(
        self,
        tick: Callable[[int, bool], None],
        interval: float,
        clock: Clock,
        telemetry: Telemetry,
        *,
        splay: float | None = None,
        awake: Callable[[], None] = lambda: None,
        longest_wait: float = math.inf,
    ) -> None:
        """`tick` takes the tick's time in Unix milliseconds and whether to export it.

        `splay` in [0, 1) is where in each interval of Unix time the ticks shall be; None: wherever the first one was.
        `awake` is called before each wait, on the thread that ticks, and at least every `longest_wait` seconds between
        two ticks. It may change `interval` and `splay`.
        """
        self._tick: Final = tick
        self.interval = interval
        self.splay = splay
        self._clock: Final = clock
        self._telemetry: Final = telemetry
        self._awake: Final = awake
        self._longest_wait: Final = longest_wait
        self._timeline: Final = Timeline(clock.wall)
        self._failing = ""
        self._ahead = 0.0

    def run(self, stop: Stop) -> None:
        """Tick now, then once an interval, and once more when `stop` is set. Ticks that come too late are left out.

        Raises:
            UnsupportedHostError: no tick will ever succeed.
        """
        self._ahead = self._clock.wall() - self._clock.monotonic()
        due = self._clock.monotonic()
        while not stop.is_set():
            self.once()
            due = self._wait(stop, self._after(due))
        self.once()

    def _after(self, due: float) -> float:
        """When the tick after that of `due` is due; both monotonic."""
        due += self.interval
        late = self._clock.monotonic() - due
        if late > 0:
            missed = int(late / self.interval) + 1
            self._telemetry.add("ss_pusher_ticks_missed_total", missed)
            due += missed * self.interval
        self._tell_leap()
        return due + self._off(due)

    def _tell_leap(self) -> None:
        """The monotonic clock stands still while the host sleeps, so that no tick is made up for afterwards."""
        before, self._ahead = self._ahead, self._clock.wall() - self._clock.monotonic()
        leap = self._ahead - before
        if leap >= self.interval:
            logger.warning("the clock went forward by %.0f s: the host slept, or the clock was set", leap)
            self._telemetry.add("ss_pusher_ticks_missed_total", int(leap / self.interval))

    def _off(self, due: float) -> float:
        """How far the place of ticks is from `due`: at most half an interval, so that no two ticks come in a row.

        It is nothing but the drift between the clocks, except after the first tick and after a step of the wall clock.
        """
        if self.splay is None:
            return 0.0
        wall = self._clock.wall() + due - self._clock.monotonic()
        off = (self.splay * self.interval - wall) % self.interval
        return off if off < self.interval / 2 else off - self.interval

    def _wait(self, stop: Stop, due: float) -> float:
        """Wait for the next tick; when it was due. A shorter interval holds at once."""
        while not stop.is_set():
            interval = self.interval
            self._awake()
            if self.interval != interval:
                due = min(due, self._clock.monotonic() + self.interval)
            left = due - self._clock.monotonic()
            if left <= 0:
                break
            stop.wait(min(left, self._longest_wait))
        return due

    def once(self) -> bool:
        """One tick: whether it went well. What goes wrong in it is logged when it begins, and ends nobody.

        Raises:
            UnsupportedHostError: the kernel cannot tell of its sockets at all.
        """
        time_ms, export = self._timeline.next()
        try:
            self._tick(time_ms, export)
        except UnsupportedHostError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place that catches: the next tick may well succeed
            self._failed(error)
        else:
            self._succeeded(export)
            return True
        return False

    def _failed(self, error: Exception) -> None:
        self._telemetry.add("ss_pusher_ticks_total", outcome="failed")
        if repr(error) != self._failing:
            trace = None if isinstance(error, CollectError) else error
            logger.error("tick failed, nothing is exported until one succeeds: %s", error, exc_info=trace)
        self._failing = repr(error)

    def _succeeded(self, exported: bool) -> None:  # noqa: FBT001 - the outcome of one tick
        self._telemetry.add("ss_pusher_ticks_total", outcome="ok" if exported else "clock_behind")
        if self._failing:
            logger.info("ticks succeed again")
        self._failing = ""
