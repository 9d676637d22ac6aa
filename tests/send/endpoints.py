"""Parts of an endpoint for tests: requests whose body has one byte a sample, and a sink that the test decides for."""

import time
from collections.abc import Callable, Sequence

from ss_pusher.model import Protocol, Request
from ss_pusher.queue.memory import MemoryQueue
from ss_pusher.send.dispatch import Reshape
from ss_pusher.send.exchange import Answer, Call, Outcome
from ss_pusher.send.http import Client
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.verdict import Accepted, Verdict

NAME = "mimir"


def batch(samples: bytes, protocol: Protocol = Protocol.REMOTE_WRITE_2) -> Request:
    """A request with these samples; each byte is a sample and its time in seconds."""
    return Request(protocol, samples, len(samples), min(samples) * 1000, max(samples) * 1000)


def halves(request: Request) -> list[Request]:
    """Split as the real encoders do."""
    middle = request.samples // 2
    return [batch(part, request.protocol) for part in (request.body[:middle], request.body[middle:])]


def joined(requests: Sequence[Request]) -> Request:
    """Merge as the real encoders do."""
    return batch(b"".join(r.body for r in requests), requests[0].protocol)


RESHAPE = Reshape(split=halves, merge=joined)


def post(url: str, settings: HttpSettings, within: float) -> Outcome:
    """One exchange of a client of its own, over in so many seconds."""
    client = Client(settings)
    try:
        return client.send(Call("POST", url, body=b"data"), time.monotonic() + within)
    finally:
        client.close()


def is_accepted(outcome: Outcome) -> bool:
    """Whether the answer is 200."""
    return isinstance(outcome, Answer) and outcome.status == 200


class Clock:
    """Seconds, set by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Judge:
    """A sink whose verdict the test decides; keeps all that was pushed, and the accepted samples in order."""

    def __init__(self, verdict: Callable[[Request], Verdict] = lambda _: Accepted()) -> None:
        self.verdict = verdict
        self.pushed: list[bytes] = []
        self.deadlines: list[float] = []
        self.accepted = b""

    def push(self, request: Request, deadline: float) -> Verdict:
        self.pushed.append(request.body)
        self.deadlines.append(deadline)
        verdict = self.verdict(request)
        if isinstance(verdict, Accepted):
            self.accepted += request.body
        return verdict


def in_turn(*verdicts: Verdict) -> Callable[[Request], Verdict]:
    """These verdicts one after the other, then accepted."""
    left = list(verdicts)
    return lambda _: left.pop(0) if left else Accepted()


def memory_queue(now: Callable[[], float] = time.time) -> MemoryQueue:
    """A queue without bounds that matter."""

    def unexpected(reason: str, samples: int) -> None:
        raise AssertionError(f"{samples} samples dropped: {reason}")

    return MemoryQueue(max_bytes=1 << 30, max_age=1e12, dropped=unexpected, now=now)
