"""Flows of every kind, driven at both ends by one process that counts for itself what each end moved.

A program for network namespaces: `python -m tests.accounting.traffic TASK`, the task being JSON. It says on stdout that
its servers listen, and waits for a line on stdin. When it has done its work it prints its books, and holds the flows
that stay open until there is another line, or the input ends.
"""

import errno
import itertools
import json
import random
import select
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import reduce
from typing import Any, Final

from tests.hosts import Host

CHUNK: Final = 1 << 15  # fits the smallest buffers of a socket, so that one thread can serve both ends
_LONGEST: Final = 300_000
_SHARE_OF_LONGEST: Final = 0.01
_SHARE_OF_LASTING: Final = 0.02
_MOST_LASTING: Final = 40
_MOST_DEAD: Final = 400
_ABORT: Final = struct.pack("ii", 1, 0)  # struct linger: close() resets
_CONNECT_TIMEOUT_MS: Final = 10_000
_PAYLOAD: Final = bytes(_LONGEST)


class Ending(StrEnum):
    """How a flow ends."""

    ACTIVE = "active"  # the client closes first
    PASSIVE = "passive"  # the server closes first
    HALF_CLOSED = "half_closed"  # the client closes its direction, the server goes on sending
    UNREAD = "unread"  # the server closes before it has read everything, which resets
    ABORTED = "aborted"  # the client resets: the kernel wipes its counters
    DEAD = "dead"  # the server resets, and the client holds the dead socket for a while


_WITHOUT_TIME_WAIT: Final = (Ending.UNREAD, Ending.ABORTED)
_SOURCE_PORTS: Final = 10_000  # below those that the kernel chooses from

GENTLE: Final = (Ending.ACTIVE, Ending.PASSIVE, Ending.HALF_CLOSED, Ending.UNREAD)
"""Those after which the kernel tells the last counters of both ends."""


@dataclass(frozen=True)
class Task:
    """What to do. `server` is the network namespace of the servers; empty: that of the clients."""

    flows: int
    seed: int
    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    endings: tuple[str, ...] = tuple(Ending)
    refusals: int = 0
    threads: int = 1
    server: str = ""


@dataclass
class End:
    """What one end of some flows moved, as its application knows it."""

    flows: int = 0
    open: int = 0  # of them, those that are left open
    sent: int = 0
    received: int = 0
    fins: int = 0  # how many peers sent a FIN: the kernel may count a byte for each

    def __add__(self, other: "End") -> "End":
        mine, others = asdict(self), asdict(other)
        return End(**{name: mine[name] + others[name] for name in mine})


@dataclass
class Books:
    """The ends of the flows by their listening port and direction, and the attempts to connect that were refused."""

    ends: dict[str, End] = field(default_factory=dict)
    wiped: set[str] = field(default_factory=set)  # the ends whose counters the kernel erased
    refused: int = 0

    def end(self, port: int, direction: str) -> End:
        return self.ends.setdefault(f"{port}/{direction}", End())

    def told(self) -> End:
        """The sum of the ends whose last counters the kernel tells."""
        return sum((end for key, end in self.ends.items() if key not in self.wiped), End())

    def erased(self) -> End:
        """The sum of the ends whose counters the kernel erases, unless they are left open."""
        return sum((end for key, end in self.ends.items() if key in self.wiped), End())

    def all(self) -> End:
        """The sum of all ends."""
        return self.told() + self.erased()

    def __add__(self, other: "Books") -> "Books":
        ends = {key: self.ends.get(key, End()) + other.ends.get(key, End()) for key in {*self.ends, *other.ends}}
        return Books(ends, self.wiped | other.wiped, self.refused + other.refused)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Books":
        ends = {key: End(**end) for key, end in document["ends"].items()}
        return cls(ends, set(document["wiped"]), document["refused"])


@dataclass
class Flow:
    """Both ends of a connection, and the accounts of each."""

    ending: Ending
    client: socket.socket
    server: socket.socket
    out: End
    into: End

    def up(self, amount: int) -> None:
        _move(self.client, self.server, amount, self.out, self.into)

    def down(self, amount: int) -> None:
        _move(self.server, self.client, amount, self.into, self.out)

    def close(self, *, client_first: bool) -> None:
        """Each end sees the FIN of the other, and closes too."""
        first, second = (self.client, self.server) if client_first else (self.server, self.client)
        first.close()
        _expect_the_end(second)
        second.close()
        self.out.fins += 1
        self.into.fins += 1


class Worker:
    """One thread's listeners, flows and books."""

    def __init__(self, task: Task, number: int) -> None:
        self._random = random.Random(f"{task.seed}/{number}")  # noqa: S311 - sizes of payload, not a secret
        self._task = task
        listeners = _in_host(task.server, lambda: [_listen(at) for _ in task.endings for at in task.addresses])
        endings = (Ending(ending) for ending in task.endings for _ in task.addresses)
        ports = itertools.count(_SOURCE_PORTS + (task.seed * task.threads + number) * len(listeners))
        self._kinds = list(zip(endings, listeners, ports, strict=False))
        self._lasting: deque[Flow] = deque()
        self._dead: deque[socket.socket] = deque()
        self.books = Books()

    def work(self) -> None:
        for number in range(self._task.flows):
            self._flow(*self._kinds[number % len(self._kinds)])
            self._move_a_lasting_one()
        for number in range(self._task.refusals):
            self._refused(self._task.addresses[number % len(self._task.addresses)], blocking=number % 4 < 2)
        for flow in self._lasting:
            flow.out.open += 1
            flow.into.open += 1
        for client in self._dead:
            client.close()

    def _flow(self, ending: Ending, listener: socket.socket, source_port: int) -> None:
        lasting = self._random.random() < _SHARE_OF_LASTING
        address = listener.getsockname()[:2]
        # The same addresses and ports at once again, where the kernel allows it.
        again = (
            (address[0], source_port)
            if ending in _WITHOUT_TIME_WAIT and not lasting and not self._task.server
            else None
        )
        client = socket.create_connection(address, source_address=again)
        server, _ = listener.accept()
        flow = Flow(ending, client, server, *(self.books.end(address[1], direction) for direction in ("out", "in")))
        flow.out.flows += 1
        flow.into.flows += 1
        wiped = {Ending.ABORTED: "out", Ending.DEAD: "in"}.get(ending)
        if wiped:
            self.books.wiped |= {f"{address[1]}/{wiped}"}
        flow.up(self._size())
        flow.down(self._size())
        if lasting:
            self._lasting.append(flow)
        else:
            self._finish(flow)

    def _move_a_lasting_one(self) -> None:
        if self._lasting and self._random.random() < 10 * _SHARE_OF_LASTING:
            flow = self._random.choice(self._lasting)
            flow.up(self._size())
            flow.down(self._size())
        if len(self._lasting) > _MOST_LASTING:
            self._finish(self._lasting.popleft())
        if len(self._dead) > _MOST_DEAD:
            self._dead.popleft().close()

    def _finish(self, flow: Flow) -> None:
        match flow.ending:
            case Ending.ACTIVE:
                flow.close(client_first=True)
            case Ending.PASSIVE:
                flow.close(client_first=False)
            case Ending.HALF_CLOSED:
                flow.client.shutdown(socket.SHUT_WR)
                _expect_the_end(flow.server)
                flow.down(self._size())
                flow.close(client_first=False)
            case Ending.UNREAD:
                _leave_unread(flow, self._random.randint(1, 1000))
            case Ending.ABORTED:
                _abort(flow.client)
                _expect_a_reset(flow.server)
                flow.server.close()
            case Ending.DEAD:
                _abort(flow.server)
                self._dead.append(flow.client)

    def _refused(self, address: str, *, blocking: bool) -> None:
        family = _family(address)
        with _in_host(self._task.server, lambda: socket.socket(family)) as silent, socket.socket(family) as client:
            silent.bind((address, 0))  # and does not listen
            client.setblocking(blocking)
            number = client.connect_ex(silent.getsockname()[:2])
            if number == errno.EINPROGRESS:
                poll = select.poll()
                poll.register(client, select.POLLOUT)
                poll.poll(_CONNECT_TIMEOUT_MS)
                number = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number != errno.ECONNREFUSED:
                raise RuntimeError(f"not refused: {errno.errorcode.get(number, number)}")
        self.books.refused += 1

    def _size(self) -> int:
        """Mostly small, sometimes nothing, rarely more than a socket's buffers hold."""
        longest = _LONGEST if self._random.random() < _SHARE_OF_LONGEST else 10_000
        return int(longest ** self._random.random()) - 1


def _move(sender: socket.socket, receiver: socket.socket, amount: int, source: End, target: End) -> None:
    for start in range(0, amount, CHUNK):
        piece = _PAYLOAD[start : min(amount, start + CHUNK)]
        sender.sendall(piece)
        source.sent += len(piece)
        target.received += len(receiver.recv(len(piece), socket.MSG_WAITALL))


def _leave_unread(flow: Flow, amount: int) -> None:
    flow.client.sendall(_PAYLOAD[:amount])
    flow.out.sent += amount
    flow.into.received += len(flow.server.recv(amount, socket.MSG_WAITALL | socket.MSG_PEEK))
    flow.server.close()
    _expect_a_reset(flow.client)
    flow.client.close()


def _abort(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    end.close()


def _expect_the_end(end: socket.socket) -> None:
    if end.recv(1):
        raise RuntimeError("there was more than was sent")


def _expect_a_reset(end: socket.socket) -> None:
    try:
        end.recv(1)
    except ConnectionResetError:
        return
    raise RuntimeError("the connection was not reset")


def _listen(address: str) -> socket.socket:
    return socket.create_server((address, 0), family=_family(address))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _in_host(name: str, function: Callable[[], Any]) -> Any:
    return Host(name).call(function) if name else function()


class Workers:
    """Processes that work on a task each, at the same time."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def books(self) -> Books:
        """Wait until all have done their work, and add up what they say of it."""
        return reduce(Books.__add__, [Books.of(_told(process)) for process in self._processes])

    def release(self) -> None:
        """Let go of the flows that stayed open; the kernel closes them with their processes."""
        for process in self._processes:
            process.communicate()


@contextmanager
def working(host: Host, *tasks: Task, when_listening: Callable[[], None] = lambda: None) -> Iterator[Workers]:
    """Work in a network namespace. What stays open ends with this context.

    `when_listening` is called when all servers listen, before the first connection.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(_process(host, task)) for task in tasks]
        for process in processes:
            _told(process)
        when_listening()
        for process in processes:
            _tell(process)
        yield Workers(processes)


@contextmanager
def _process(host: Host, task: Task) -> Iterator[subprocess.Popen[str]]:
    command = host.command(sys.executable, "-m", __name__, json.dumps(asdict(task)))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _told(process: subprocess.Popen[str]) -> Any:
    if process.stdout is None or not (line := process.stdout.readline()):
        raise RuntimeError(f"the traffic ended early with {process.wait()}")
    return json.loads(line)


def _tell(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.write("\n")
        process.stdin.flush()


def _say(document: object) -> None:
    """Print JSON, and wait for a line."""
    sys.stdout.write(json.dumps(document, default=sorted) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main(document: str) -> None:
    """Work in threads, tell what was done, and hold what stays open."""
    task = Task(**json.loads(document))
    workers = [Worker(task, number) for number in range(task.threads)]
    _say("listening")
    with ThreadPoolExecutor(task.threads) as pool:
        for done in [pool.submit(worker.work) for worker in workers]:
            done.result()
    books = reduce(Books.__add__, (worker.books for worker in workers))
    _say(asdict(books))


if __name__ == "__main__":
    main(sys.argv[1])
