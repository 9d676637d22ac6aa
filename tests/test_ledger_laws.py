"""The laws of the ledger over any history: a model of the kernel that knows every life of every socket."""

from dataclasses import dataclass, field
from itertools import count

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from ss_pusher.accounts import Accounts, Totals
from ss_pusher.group import group
from ss_pusher.ledger import Ledger, _Word
from ss_pusher.metrics import COUNTERS
from ss_pusher.model import Choice, Groups, LedgerField, Movement
from tests.flows import Flow, flows

AMOUNTS = {"bytes_sent": 64, "bytes_received": 64, "segs_out": 32, "total_rto": 16}
EXPORTED = tuple(c for c in COUNTERS if c.field in {"bytes_sent", "bytes_received", "segs_out", "total_rto"})
HOUSE = {"flows_opened", "flows_closed", "connect_failures", "flows_wiped", "flows_lost"}
OWN = tuple(c for c in COUNTERS if c.field in HOUSE)
ENDED = _Word.ENDED
MOST_IN_A_TICK = {64: 1 << 40, 32: (1 << 31) - 1, 16: (1 << 15) - 1}


@dataclass
class Socket:
    """One life of a socket: what it truly moved, and how much of that was reported."""

    cookie: int
    key: int
    port: int
    moved: dict[str, int]
    reported: dict[str, int]

    def report(self) -> Flow:
        shown = {name: self.moved[name] % (1 << bits) for name, bits in AMOUNTS.items()}
        # delivered and bytes_acked never fall within a life, as for an established connection
        return Flow(self.cookie, {**shown, "min_rtt": 100, "delivered": 1, "bytes_acked": 1}, self.key, self.port)


@dataclass
class Expected:
    """What one tick must credit."""

    moved: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AMOUNTS, 0))

    def add(self, socket: Socket) -> None:
        for name in AMOUNTS:
            self.moved[name] += socket.moved[name] - socket.reported[name]
        socket.reported = dict(socket.moved)


@dataclass
class Silence:
    """How long nothing was heard of a flow, and whether it must count as lost."""

    ticks: int = 0
    lost: bool = False


class Kernel(RuleBasedStateMachine):
    """Opens, moves, wraps, closes, aborts, reconnects and forgets sockets; delays and drops events; fails dumps."""

    lives = Bundle("lives")

    @initialize(seed=st.integers(0, 2**32 - 1))
    def start(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.cookies = count(1)
        self.ports = count(1)
        self.open: dict[int, Socket] = {}
        self.events: list[tuple[int, Socket, Flow]] = []  # ticks still to wait, the life, what the event says
        self.held: dict[int, Socket] = {}  # reset by the peer, and not yet closed by the application
        self.known: set[int] = set()
        self.silent: dict[int, Silence] = {}
        self.complete = self.was_complete = True
        self.ledger = Ledger(AMOUNTS)
        self.accounts = Accounts(len(EXPORTED) + len(OWN), 1, lambda key: (("key", str(key)),))
        self.odd = np.array([0x9E3779B97F4A7C15], np.uint64)
        self.shown: dict[int, list[int]] = {}
        self.host = np.zeros(len(EXPORTED) + len(OWN), np.int64)
        self.ticked = False
        self.ms = 0
        self.tick(hide=False, late=False, exported=0)

    @rule(target=lives, key=st.integers(1, 4), near_wrap=st.booleans())
    def open_socket(self, key: int, near_wrap: bool) -> int:  # noqa: FBT001 - drawn by hypothesis
        cookie = next(self.cookies)
        nothing = dict.fromkeys(AMOUNTS, 0)
        self.open[cookie] = Socket(cookie, key, next(self.ports) % 60000 + 1, dict(nothing), dict(nothing))
        if near_wrap:
            self.move(cookie, {"segs_out": (1 << 31) - 5, "total_rto": (1 << 15) - 5, "bytes_sent": 9})
        return cookie

    @rule(cookie=lives, amounts=st.fixed_dictionaries({name: st.integers(0, 1 << 30) for name in AMOUNTS}))
    def move(self, cookie: int, amounts: dict[str, int]) -> None:
        if socket := self.open.get(cookie):
            for name, amount in amounts.items():
                most = socket.reported[name] + MOST_IN_A_TICK[AMOUNTS[name]]
                socket.moved[name] = min(socket.moved[name] + amount, most)

    @rule(cookie=consumes(lives), late=st.integers(0, 2))
    def close(self, cookie: int, late: int) -> None:
        if socket := self.open.pop(cookie, None):
            self.events.append((late, socket, socket.report()))

    @rule(cookie=consumes(lives))
    def abort(self, cookie: int) -> None:
        """The kernel wipes the counters before it announces the end."""
        if socket := self.open.pop(cookie, None):
            wiped = Flow(cookie, {"min_rtt": 100}, key=99, remote_port=0)
            socket.moved = dict(socket.reported)
            self.events.append((0, socket, wiped))

    @rule(cookie=lives)
    def die(self, cookie: int) -> None:
        """The peer resets the connection: the kernel shows it no more, and announces its end when it is closed."""
        if socket := self.open.pop(cookie, None):
            self.held[cookie] = socket

    @rule(cookie=consumes(lives))
    def close_the_dead(self, cookie: int) -> None:
        if socket := self.held.pop(cookie, None):
            self.events.append((0, socket, socket.report()))

    @rule(cookie=consumes(lives))
    def vanish(self, cookie: int) -> None:
        """The event is lost, and the next drain says that one was."""
        if self.open.pop(cookie, None) or self.held.pop(cookie, None):
            self.complete = False

    @rule()
    def lose_an_event_of_a_flow_that_nobody_knew(self) -> None:
        self.complete = False

    @rule(cookie=lives)
    def connect_again(self, cookie: int) -> None:
        """The same socket to another port, counters from 0: what was not reported of its old life is not known."""
        if socket := self.open.get(cookie):
            nothing = dict.fromkeys(AMOUNTS, 0)
            self.open[cookie] = Socket(cookie, socket.key, socket.port % 60000 + 1, dict(nothing), dict(nothing))

    @rule()
    def failed_dump(self) -> None:
        """Nobody asks the ledger: what it knows stays, and events go on waiting."""

    @rule(hide=st.booleans(), late=st.booleans(), exported=st.integers(0, 15))
    def tick(self, hide: bool, late: bool, exported: int) -> None:  # noqa: FBT001 - drawn by hypothesis
        expected = Expected()
        dump = list(self.open.values())
        self.random.shuffle(dump)
        dump = dump[int(hide) :]
        for socket in dump:
            expected.add(socket)
        due = [(socket, flow) for wait, socket, flow in self.events if not wait]
        self.events = [(wait - 1, socket, flow) for wait, socket, flow in self.events if wait]
        for socket, _ in due:
            expected.add(socket)
        opened = flows(*(socket.report() for socket in dump))
        if late and dump:
            due.append(self.close_after_the_dump(dump[-1], expected))
        movement = self.ledger.advance(opened, flows(*(flow for _, flow in due)), complete=self.complete)
        lost = self.listen({socket.cookie for socket in dump}, {socket.cookie for socket, _ in due})
        self.was_complete, self.complete = self.complete, True
        self.check(movement, expected, exported, lost)

    def close_after_the_dump(self, socket: Socket, expected: Expected) -> tuple[Socket, Flow]:
        self.open.pop(socket.cookie)
        socket.moved["bytes_sent"] += 77
        expected.add(socket)
        return socket, socket.report()

    def listen(self, dumped: set[int], ended: set[int]) -> int:
        """How many of the flows that the ledger knows count as lost from now on."""
        self.known = (self.known | dumped) - ended
        self.silent = {cookie: self.silent.get(cookie, Silence()) for cookie in self.known - dumped}
        lost = 0
        for silence in self.silent.values():
            silence.ticks += 1
            if silence.ticks > 1 and not silence.lost and not (self.complete and self.was_complete):
                silence.lost = True
                lost += 1
        return lost

    def check(self, movement: Movement, expected: Expected, exported: int, lost: int) -> None:
        credited = dict(zip(movement.fields, movement.increments.sum(axis=1).tolist(), strict=True))
        if self.ticked:
            assert {name: credited[name] for name in AMOUNTS} == expected.moved
        assert credited[LedgerField.LOST] == lost
        self.ticked = True
        assert (movement.increments >= 0).all()
        groups = group(movement, flows().sockets, (*EXPORTED, *OWN), (), self.odd)
        self.ms += 1000
        choice = self.choose(groups, exported)
        totals = self.accounts.credit(groups, choice, self.ms)
        self.check_sums(groups, choice, totals)

    def choose(self, groups: Groups, exported: int) -> Choice:
        """Export the keys whose bit is set, those without a group included; the rest goes to the remainder, key 0."""
        keys = [key for key in range(1, 5) if exported >> (key - 1) & 1]
        owner = [keys.index(key) if key in keys else len(keys) for key in groups.keys[:, 0].tolist()]
        return Choice(np.array([[*keys, 0]], np.uint64).T, np.array(owner, np.intp))

    def check_sums(self, groups: Groups, choice: Choice, totals: Totals) -> None:
        before = self.shown
        self.shown = dict(zip(choice.keys[:, 0].tolist(), totals.counters.T.tolist(), strict=True))
        rise = np.sum([np.array(now) - before.get(key, 0) for key, now in self.shown.items()], axis=0)
        assert (rise == totals.host - self.host).all()
        assert (groups.counters.sum(axis=1) == totals.host - self.host).all()
        assert all(np.all(np.array(now) >= before[key]) for key, now in self.shown.items() if key in before)
        self.host = totals.host

    @invariant()
    def nothing_is_remembered_but_flows_that_may_be_heard_of(self) -> None:
        if self.ticked:
            remembered = {int(cookie) for known in self.ledger._known for cookie in known.cookie[known.word != ENDED]}
            assert remembered == self.known


TestLaws = Kernel.TestCase
TestLaws.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
