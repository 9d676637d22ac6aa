"""What every queue promises, as a machine that compares it with a plain list."""

from collections.abc import Sequence
from typing import Protocol as Structural

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ss_pusher.model import Pending, Protocol, Request

PLENTY = 1 << 30
FOR_EVER = 1e9


class Queue(Structural):
    """The methods under test."""

    def put(self, request: Request) -> None: ...
    def lease(self, timeout: float, samples: int = 1) -> Sequence[Request]: ...
    def acknowledge(self) -> None: ...
    def release(self) -> None: ...
    def replace(self, requests: Sequence[Request]) -> None: ...
    def pending(self) -> Pending: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


def request(number: int, samples: int = 1, size: int = 10, protocol: Protocol = Protocol.REMOTE_WRITE_2) -> Request:
    """A request that can be told from every other by its number, which is also its time in milliseconds."""
    return Request(protocol, b"%0*d" % (size, number), samples, number, number)


def total(requests: Sequence[Request]) -> Pending:
    """What `requests` are together."""
    return Pending(len(requests), sum(r.samples for r in requests), sum(len(r.body) for r in requests))


def drained(queue: Queue) -> list[Request]:
    """Everything, acknowledged one by one."""
    everything: list[Request] = []
    while leased := queue.lease(0.0):
        everything += leased
        queue.acknowledge()
    return everything


class QueueMachine(RuleBasedStateMachine):
    """Within its bounds a queue is a list: what is put comes out once acknowledged, in order, and never twice."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = self.make_queue()
        self.waiting: list[Request] = []
        self.leased = 0
        self.number = 0

    def make_queue(self) -> Queue:
        raise NotImplementedError

    def together(self) -> int:
        """How many of the first may be in one lease."""
        return len(self.waiting)

    @rule(samples=st.integers(1, 4), protocol=st.sampled_from([Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2]))
    def put(self, samples: int, protocol: Protocol) -> None:
        added = self.new(samples, protocol)
        self.queue.put(added)
        self.waiting.append(added)

    @rule(samples=st.integers(1, 8))
    def lease(self, samples: int) -> None:
        leased = list(self.queue.lease(0.0, samples))
        self.leased = len(leased)

        assert leased == self.waiting[: self.leased]
        assert bool(leased) == bool(self.waiting)
        if len(leased) > 1:
            assert total(leased).samples <= samples
            assert len({r.protocol for r in leased}) == 1
        if self.leased < self.together():  # no more than that fits
            following = self.waiting[self.leased]
            fits = total(leased).samples + following.samples <= samples
            assert not fits or following.protocol is not leased[0].protocol

    @precondition(lambda self: self.leased)
    @rule()
    def acknowledge(self) -> None:
        self.queue.acknowledge()
        del self.waiting[: self.leased]
        self.leased = 0

    @rule()
    def release(self) -> None:
        self.queue.release()
        self.leased = 0

    @precondition(lambda self: self.leased)
    @rule(count=st.integers(0, 3))
    def replace(self, count: int) -> None:
        parts = [self.new(1, Protocol.REMOTE_WRITE_2) for _ in range(count)]
        self.queue.replace(parts)
        self.waiting[: self.leased] = parts
        self.leased = 0

    @invariant()
    def pending_is_what_waits(self) -> None:
        assert self.queue.pending() == total(self.waiting)

    def new(self, samples: int, protocol: Protocol) -> Request:
        self.number += 1
        return request(self.number, samples, protocol=protocol)

    def teardown(self) -> None:
        self.queue.close()
