"""Time: where it comes from, and the time that each tick bears, whatever becomes of the clock."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

logger = logging.getLogger(__name__)

PATIENCE_MS: Final = 600_000
"""A clock that was set back by less is waited for; one that was set back further is believed.

For so long, too, a clock that leapt forward makes nothing older, see `PatientClock`.
"""
_NEWS_MS: Final = 1000


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from, all in seconds. `wall` is Unix time and may be set; `monotonic` never goes back.

    While the host is suspended `monotonic` stands still and `boottime` goes on, clock_gettime(2).
    """

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    boottime: Callable[[], float] = _boottime


class PatientClock:
    """Unix seconds by which what waits gets old; minus infinity while none can be believed. For one thread at a time.

    A wall clock that leaps forward is believed once it has said so for `PATIENCE_MS` of the monotonic clock: what was
    dropped for a moment of wrong time would not come back. One that goes back is believed at once, since that drops
    nothing.
    """

    def __init__(self, clock: Clock, *, believed: bool) -> None:
        """`believed` is whether the wall clock can be now; else it is as one that has just leapt, see `clock_sync`."""
        self._clock: Final = clock
        self._ahead = clock.wall() - clock.monotonic() if believed else -math.inf  # as is believed
        self._leapt: tuple[float, float] | None = None  # when by the monotonic clock, and the least ahead of it since

    def __call__(self) -> float:
        """The time; asking is what makes it notice a leap."""
        monotonic = self._clock.monotonic()
        ahead = self._clock.wall() - monotonic
        if ahead - self._ahead <= _NEWS_MS / 1000:
            self._ahead, self._leapt = ahead, None
            return monotonic + ahead
        since, least = self._leapt or (monotonic, ahead)
        self._leapt = since, min(least, ahead)
        if monotonic - since >= PATIENCE_MS / 1000:
            self._ahead, self._leapt = self._leapt[1], None
        return monotonic + self._ahead


class Moment(NamedTuple):
    """The time of a tick."""

    time_ms: int  # Unix time
    held: Literal["clock_behind", "clock_not_set"] | None = None
    """Why this tick is accounted for, but not exported: what it counted is in the next one that is."""
    moved_ms: int = 0
    """By how much the times of all ticks before have to be moved: the clock that gave them was wrong."""


class Timeline:
    """Gives every tick its time, so that no sample is from the future and no series goes back in time."""

    def __init__(self, clock: Clock, believed: Callable[[], bool] = lambda: True) -> None:
        """`believed` is asked until it says for the first time that the clock can be, see `clock_sync`."""
        self._clock: Final = clock
        self._believed: Final = believed
        self._last_ms = 0
        self._ahead_ms = 0  # of the monotonic clock, at the last tick whose time was the clock's
        self._holding: Literal["clock_behind", "clock_not_set"] | None = None
        self._set = False

    def next(self, *, last: bool = False) -> Moment:
        """The time of this tick; the `last` one is not held because the clock may still be set."""
        now_ms = int(self._clock.wall() * 1000)
        ahead_ms = now_ms - int(self._clock.monotonic() * 1000)
        if not self._set:
            self._set = last or self._believed()
            return self._first(now_ms, ahead_ms)
        behind_ms = self._last_ms - now_ms
        if 0 <= behind_ms < PATIENCE_MS:
            return self._behind(behind_ms)
        moved_ms = 0
        if behind_ms >= PATIENCE_MS:
            logger.warning("the clock was set back by %.0f s: samples go on from its new time", behind_ms / 1000)
            moved_ms = ahead_ms - self._ahead_ms
        return self._at(now_ms, ahead_ms, moved_ms)

    def _first(self, now_ms: int, ahead_ms: int) -> Moment:
        """A tick before the clock is believed, or the first one since."""
        moved_ms = ahead_ms - self._ahead_ms if self._last_ms else 0
        if self._set:
            if self._holding:
                logger.info("the clock is believed; it was moved by %+.0f s meanwhile", moved_ms / 1000)
            return self._at(now_ms, ahead_ms, moved_ms)
        if not self._holding:
            logger.warning("this host started a moment ago: nothing is exported until its clock has been set")
        self._last_ms, self._ahead_ms, self._holding = now_ms, ahead_ms, "clock_not_set"
        return Moment(now_ms, self._holding, moved_ms)

    def _behind(self, behind_ms: int) -> Moment:
        """A tick while the clock is behind the last one: receivers refuse what is out of order."""
        if behind_ms >= _NEWS_MS and not self._holding:
            words = "the clock was set back: for %.0f s nothing is exported, and after that all that was counted"
            logger.warning(words, behind_ms / 1000)
            self._holding = "clock_behind"
        self._last_ms += 1
        return Moment(self._last_ms, "clock_behind")

    def _at(self, now_ms: int, ahead_ms: int, moved_ms: int) -> Moment:
        self._last_ms, self._ahead_ms, self._holding = now_ms, ahead_ms, None
        return Moment(now_ms, None, moved_ms)
