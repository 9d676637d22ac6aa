"""The tick: when it is due, and the one place that catches what goes wrong in it."""

import logging
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from ss_pusher.clock import Clock, Timeline
from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

LATE_EVENTS: Final = 0.03
"""Seconds in which the kernel has announced the end of the sockets of a process that has just ended."""

REMIND_AFTER: Final = 3600.0
"""Seconds after which it is said again that ticks fail."""
CALM_AFTER: Final = 600.0
"""Seconds without a failure until it is said that ticks succeed which failed now and then."""
_MOST_REASONS: Final = 5
"""How many reasons are said in an hour."""


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


class _TickLog:
    """One line when ticks begin to fail, or to fail differently, one when they succeed again, and at most one an hour.

    Of ticks that fail now and then it is not said that all is well until they have succeeded for a while.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic: Final = monotonic
        self._said_at: dict[str, float] = {}  # by the reason without its numbers
        self._failed_at = 0.0
        self._recovered_at = -math.inf
        self._unsteady = False

    def failed(self, error: Exception) -> None:
        """A tick failed."""
        now = self._failed_at = self._monotonic()
        reason = re.sub(r"\d+", "", repr(error))
        said = {each: at for each, at in self._said_at.items() if now - at < REMIND_AFTER}
        if reason not in said and len(said) < _MOST_REASONS:
            how = "still fails" if reason in self._said_at else "failed"
            trace = None if isinstance(error, CollectError) else error
            logger.error("tick %s, nothing is exported until one succeeds: %s", how, error, exc_info=trace)
            self._said_at = {**said, reason: now}

    def succeeded(self) -> None:
        """A tick went well."""
        now = self._monotonic()
        if not self._said_at:
            return
        self._unsteady |= now - self._recovered_at < CALM_AFTER
        if self._unsteady and now - self._failed_at < CALM_AFTER:
            return
        logger.info("ticks succeed again")
        self._said_at, self._recovered_at, self._unsteady = {}, now, False


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
        believed: Callable[[], bool] = lambda: True,
        moved: Callable[[int], None] = lambda _: None,
        awake: Callable[[], None] = lambda: None,
        longest_wait: float = math.inf,
    ) -> None:
        """`tick` takes the tick's time in Unix milliseconds and whether to export it.

        `believed` says whether the wall clock can be, and `moved` is told, before a tick, by how many milliseconds the
        times of the ticks before have to be moved; see `Timeline`. `splay` in [0, 1) is where in each interval of Unix
        time the ticks shall be; None: wherever the first one was.
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
        self._moved: Final = moved
        self._timeline: Final = Timeline(clock, believed)
        self._log: Final = _TickLog(clock.monotonic)
        self._asleep = self._ahead = 0.0

    def run(self, stop: Stop) -> None:
        """Tick now, then once an interval, and once more when `stop` is set. Ticks that come too late are left out.

        Raises:
            UnsupportedHostError: no tick will ever succeed.
        """
        self._asleep, self._ahead = self._leaps()
        due = self._clock.monotonic()
        while not stop.is_set():
            self.once()
            due = self._wait(stop, self._after(due))
        self._clock.sleep(LATE_EVENTS)  # what ended just before is told too
        self.once(last=True)

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
        """While the host sleeps the monotonic clock stands still, so that no tick is made up for afterwards."""
        (asleep, ahead), (self._asleep, self._ahead) = (self._asleep, self._ahead), self._leaps()
        slept, leap = self._asleep - asleep, self._ahead - ahead
        if slept >= self.interval:
            logger.warning("the host slept for %.0f s", slept)
            self._telemetry.add("ss_pusher_ticks_missed_total", int(slept / self.interval))
        if leap >= self.interval:
            logger.warning("the clock was set forward by %.0f s", leap)

    def _leaps(self) -> tuple[float, float]:
        """For how long the host has slept since it started, and how far the wall clock is ahead of that start."""
        boottime = self._clock.boottime()
        return boottime - self._clock.monotonic(), self._clock.wall() - boottime

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

    def once(self, *, last: bool = False) -> bool:
        """One tick: whether it went well. What goes wrong in it is logged when it begins, and ends nobody.

        After the `last` one there is no time left in which a clock might be set.

        Raises:
            UnsupportedHostError: the kernel cannot tell of its sockets at all.
        """
        moment = self._timeline.next(last=last)
        try:
            if moment.moved_ms:
                self._moved(moment.moved_ms)
            self._tick(moment.time_ms, moment.held is None)
        except UnsupportedHostError:
            raise
        except Exception as error:  # noqa: BLE001 - the one place that catches: the next tick may well succeed
            self._telemetry.add("ss_pusher_ticks_total", outcome="failed")
            self._log.failed(error)
        else:
            self._telemetry.add("ss_pusher_ticks_total", outcome=moment.held or "ok")
            self._log.succeeded()
            return True
        return False
