"""Which samples may be sent now, by the time that they bear. Pure but for the clocks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ss_pusher.model import Request

SLACK: Final = 1.0
"""Seconds by which a clock may be corrected without anybody noticing."""


@dataclass(frozen=True, slots=True)
class Timeliness:
    """By this host's clock, and by the receiver's as far as it is known: nothing is sent from the future of either.

    `now` and `latest` give Unix seconds; a sample later than `latest` waits. `age` is how old samples may be in
    seconds, 0 being no limit; those from further in the future than `future` are not waited for.

    What is dropped does not come back, so nothing is dropped that is timely for the receiver; before its time is known
    `patient` tells ages, which a leap of our clock does not change.
    """

    now: Callable[[], float]
    latest: Callable[[], float]
    age: float
    future: float
    patient: Callable[[], float]

    def divided(self, requests: Sequence[Request]) -> tuple[list[Request], dict[str, int]]:
        """The requests that will ever be sent, and how many samples of the others there are, by reason."""
        now, latest = self.now(), self.latest()
        known = math.isfinite(latest)
        oldest_ms = (min(now, latest if known else self.patient()) - self.age) * 1000 if self.age else 0.0
        newest_ms = ((max(now, latest) if known else now) + self.future) * 1000
        timely = [request for request in requests if oldest_ms <= request.newest_ms <= newest_ms]
        dropped = {
            "too_old": sum(request.samples for request in requests if request.newest_ms < oldest_ms),
            "future": sum(request.samples for request in requests if request.newest_ms > newest_ms),
        }
        return timely, {reason: samples for reason, samples in dropped.items() if samples}

    def early(self, requests: Sequence[Request]) -> float:
        """For how many seconds some of the requests are still from the future; 0 if none is, or nobody minds."""
        if math.isinf(self.future):
            return 0.0
        newest = max(request.newest_ms for request in requests) / 1000
        early = newest - min(self.now(), self.latest())
        return early if early > SLACK else 0.0
