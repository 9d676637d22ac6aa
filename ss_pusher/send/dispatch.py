"""One step of an endpoint: what waits longest is pushed, and the verdict decides what becomes of it."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ss_pusher.errors import EncodeError
from ss_pusher.model import Pending, Request
from ss_pusher.send.age_log import AgeLog
from ss_pusher.send.backoff import Backoff
from ss_pusher.send.condition import Condition, ConditionLog
from ss_pusher.send.pace import Pace
from ss_pusher.send.timeliness import Timeliness
from ss_pusher.send.verdict import Accepted, Downgrade, Held, Rejected, Retry, Split, Verdict
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

HELD_FOR_AT_LEAST: Final = 60.0
HELD_FOR_AT_MOST: Final = 300.0
"""Seconds between tries while a setting waits to be mended."""
REQUESTS_A_SECOND: Final = 10.0
BURST: Final = 20
"""How fast a backlog goes out: with 5,000 samples a request, 6 hours of 10,000 series at 15 s take 5 minutes; after an
outage 15, see `pace`."""
OUTAGE: Final = 60.0
"""Seconds of failures after which others will have a backlog as we do."""
TRIES_TO_FIND_THE_BAD: Final = 64
"""Requests spent on one refused batch to isolate what is wrong: enough for 2 bad samples among 10,000."""


class Sink(Protocol):
    """Where requests go: remote write, a Pushgateway. Called from one thread."""

    def push(self, request: Request, deadline: float) -> Verdict:
        """Send it, over by `deadline` (time.monotonic). Whatever the outside world does is a verdict."""


class Queue(Protocol):
    """Where requests wait. `queue.memory.MemoryQueue` says what each method promises."""

    def put(self, request: Request) -> None:
        """Add the newest."""

    def lease(self, timeout: float, samples: int = 1) -> Sequence[Request]:
        """Borrow the oldest."""

    def acknowledge(self) -> None:
        """Forget what is leased."""

    def release(self) -> None:
        """Let what is leased wait again."""

    def replace(self, requests: Sequence[Request]) -> None:
        """Let others wait in the place of what is leased."""

    def pending(self) -> Pending:
        """What waits and what is leased."""

    def finish(self) -> None:
        """Nothing more will be put."""

    def close(self) -> None:
        """Give back files and locks."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one endpoint, in seconds, samples and bytes; 0 is no limit for `sample_age` and `bytes_per_send`.

    After the clock was set back samples may be from the future: up to `sample_future` they wait, beyond it they are
    dropped.
    """

    timeout: float = 30.0
    min_backoff: float = 1.0
    max_backoff: float = 60.0
    sample_age: float = 0.0
    sample_future: float = math.inf
    samples_per_send: int = 5000
    bytes_per_send: int = 0


@dataclass(frozen=True, slots=True)
class Reshape:
    """How a sink's requests are divided and joined; both keep the order of samples, and raise EncodeError.

    `split` gives two or more requests where it was given more than one sample. `merge` is given requests of one
    protocol.
    """

    split: Callable[[Request], Sequence[Request]]
    merge: Callable[[Sequence[Request]], Request]


class Dispatcher:
    """Takes from the queue, gives to the sink, and settles. Used by one thread.

    Without `reshape` requests go as they are. `uniform` gives a number in [0, 1), `clock` monotonic and `now` Unix
    seconds. What is later than `latest` (Unix seconds) waits, and the receiver is asked for its time by `ask`, with a
    deadline: whether it answered. With `ask_first` it is also asked before anything else is sent.
    `patient` is `now`, but slow to believe a leap: it tells what is too old while the receiver has not told its time.
    """

    def __init__(
        self,
        endpoint: str,
        queue: Queue,
        sink: Sink,
        limits: Limits,
        telemetry: Telemetry,
        *,
        reshape: Reshape | None,
        uniform: Callable[[], float],
        clock: Callable[[], float],
        now: Callable[[], float],
        latest: Callable[[], float] = lambda: math.inf,
        ask: Callable[[float], bool] = lambda _: True,
        ask_first: bool = False,
        patient: Callable[[], float] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._queue = queue
        self._sink = sink
        self._limits = limits
        self._telemetry = telemetry
        self._reshape = reshape
        self._clock = clock
        self._ask = ask
        self._ask_first = ask_first
        self._timeliness = Timeliness(now, latest, limits.sample_age, limits.sample_future, patient or now)
        self._log = ConditionLog(endpoint, clock)
        self._age_log = AgeLog(endpoint, "sample_age_limit", clock)
        self._pace = Pace(REQUESTS_A_SECOND, BURST, clock)
        self._backoff = Backoff(limits.min_backoff, limits.max_backoff, uniform)
        self._patience = Backoff(limits.min_backoff, HELD_FOR_AT_MOST - HELD_FOR_AT_LEAST, uniform)
        self._failing_since: float | None = None
        self._parts = 0  # requests at the head of the queue that must go alone
        self._tries = 0
        self._again = 0  # samples of what failed
        self._resent = False  # the server may have what is at the head: only its answer was lost
        self.held = False
        self.given_up = 0  # samples

    def step(self, wait: float, until: float, *, hurry: bool = False) -> float:
        """At most one push, over by `until` (monotonic); waits up to `wait` seconds for something to send.

        Returns how many seconds to wait before the next step; in a `hurry` only a failure makes us wait.
        """
        leased = self._queue.lease(wait, self._samples())
        if not leased:
            self._parts = 0
            return 0.0
        if self._drop_untimely(leased):
            return 0.0
        if self._ask_first:
            self._ask_first = not self._ask(self._deadline(until))
        if early := self._timeliness.early(leased):
            return self._hold(leased, early, until)
        request = self._join(leased)
        if request is None:
            return 0.0
        self._tries = self._tries - 1 if self._parts else TRIES_TO_FIND_THE_BAD
        if 0 < self._limits.bytes_per_send < len(request.body) and self._divide(request):
            return 0.0
        backoff = self._settle(request, self._push(request, until))
        return backoff if hurry else max(backoff, self._pace.next())

    def _drop_untimely(self, leased: Sequence[Request]) -> bool:
        timely, dropped = self._timeliness.divided(leased)
        for reason, samples in dropped.items():
            self._give_up(reason, samples)
        if not dropped:
            return False
        if too_old := dropped.get("too_old"):
            self._age_log.tell(too_old)
        self._parts = max(self._parts - len(leased) + len(timely), 0)
        self._queue.replace(timely)
        return True

    def _hold(self, leased: Sequence[Request], early: float, until: float) -> float:
        """Keep what is from the future, and look how late it is for the receiver; what is not goes before it."""
        self._queue.release()
        if len(leased) > 1:
            self._parts, self._tries = len(leased), TRIES_TO_FIND_THE_BAD
            return 0.0
        self._ask(self._deadline(until))
        return min(early, HELD_FOR_AT_LEAST)

    def _deadline(self, until: float) -> float:
        return min(self._clock() + self._limits.timeout, until)

    def _samples(self) -> int:
        """How many to send at most.

        What failed is tried again as it was: if the server has taken it after all and refuses it now as out of order,
        nothing that came since is refused with it.
        """
        if self._parts or not self._reshape:
            return 1
        return self._again or self._limits.samples_per_send

    def _join(self, leased: Sequence[Request]) -> Request | None:
        if len(leased) == 1 or not self._reshape:
            return leased[0]
        try:
            return self._reshape.merge(leased)
        except EncodeError as error:
            logger.warning("%s: cannot join requests, so each goes alone: %s", self._endpoint, error)
            self._parts = len(leased)
            return None

    def _push(self, request: Request, until: float) -> Verdict:
        started = self._clock()
        try:
            return self._sink.push(request, self._deadline(until))
        except Exception as error:
            # The thread of an endpoint must outlive what nobody thought of; the data is kept, within its bounds.
            logger.exception("%s: a push failed in a way that is our own mistake", self._endpoint)
            return Retry(f"internal error: {type(error).__name__}")
        finally:
            self._count("ss_pusher_request_seconds_total", self._clock() - started)

    def _settle(self, request: Request, verdict: Verdict) -> float:
        self.held = isinstance(verdict, Held)
        self._count("ss_pusher_requests_total", 1, outcome=type(verdict).__name__.lower())
        match verdict:
            case Accepted(written):
                self._accept(request, request.samples if written is None else min(written, request.samples))
            case Retry() | Held():
                return self._keep(request, verdict)
            case Split() if self._divide(request):
                return 0.0
            case Split(reason, words):
                self._reject(request, reason, words, 0)
            case Downgrade(words):
                self._reject(request, "unsupported", words, 0)
            case Rejected(reason, words, written):
                self._reject(request, reason, words, min(written, request.samples))
        self._parts = max(self._parts - 1, 0)
        self._again, self._resent = 0, self._resent and self._parts > 0
        self._ask_first = False
        self._queue.acknowledge()
        self._recover()
        self._backoff.reset()
        self._patience.reset()
        return 0.0

    def _recover(self) -> None:
        if self._failing_since is not None and self._clock() - self._failing_since >= OUTAGE:
            self._pace.begin_slowly()
        self._failing_since = None

    def _accept(self, request: Request, written: int) -> None:
        self._sent(request, written)
        if written < request.samples:
            self._give_up("not_written", request.samples - written)
        if not self._parts:
            self._log.tell(Condition.ACCEPTING)
        self._count("ss_pusher_sent_bytes_total", len(request.body))

    def _reject(self, request: Request, reason: str, words: str, written: int) -> None:
        if written:
            self._sent(request, written)
        if self._resent and reason == "refused":
            self._give_up("repeated", request.samples - written)
            return
        self._give_up(reason, request.samples - written)
        self._log.tell(Condition.REJECTING, words)

    def _keep(self, request: Request, verdict: Retry | Held) -> float:
        self._count("ss_pusher_samples_retried_total", request.samples)
        self._queue.release()
        self._again, self._resent = request.samples, self._resent or isinstance(verdict, Retry)
        if self._failing_since is None:
            self._failing_since = self._clock()
        if isinstance(verdict, Held):
            self._log.tell(Condition.HELD, verdict.words)
            return HELD_FOR_AT_LEAST + self._patience.next()
        self._log.tell(Condition.RETRYING, verdict.words)
        return (verdict.after or 0) + self._backoff.next()

    def _divide(self, request: Request) -> bool:
        """Let the parts of the request wait in its place; False where it cannot be divided, or not any more."""
        if request.samples <= 1 or self._tries <= 0 or not self._reshape:
            return False
        try:
            parts = self._reshape.split(request)
        except EncodeError as error:
            logger.warning("%s: cannot split a request: %s", self._endpoint, error)
            return False
        self._parts = max(self._parts - 1, 0) + len(parts)
        self._queue.replace(parts)
        return True

    def _sent(self, request: Request, samples: int) -> None:
        self._count("ss_pusher_samples_sent_total", samples)
        name = "ss_pusher_queue_highest_sent_timestamp_seconds"
        highest = max(self._telemetry.value(name, endpoint=self._endpoint), request.newest_ms / 1000)
        self._telemetry.set(name, highest, endpoint=self._endpoint)

    def _give_up(self, reason: str, samples: int) -> None:
        self.given_up += samples
        self._count("ss_pusher_samples_dropped_total", samples, reason=reason)

    def _count(self, name: str, amount: float, **labels: str) -> None:
        self._telemetry.add(name, amount, endpoint=self._endpoint, **labels)
