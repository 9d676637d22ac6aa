"""Measures readers side by side, each in a process of its own, in turns, so that a busy moment hits all alike."""

import resource
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from bench.readers import READERS, Reader, peak_memory, peak_memory_of_command
from bench.serving import serving

_SOCKETS_A_TURN: Final = 10_000  # few sockets are read several times a turn, to be longer than the clock's noise


@dataclass(frozen=True)
class Cost:
    """What one read of all sockets takes: seconds of processor, seconds, and the process' peak memory in bytes."""

    cpu: float
    wall: float
    memory: int


Costs: TypeAlias = dict[str, Cost]
"""By the name of the reader."""


def measure(readers: Sequence[Reader], sockets: int, rounds: int) -> Costs:
    """The best of several rounds."""
    repeats = max(1, _SOCKETS_A_TURN // max(sockets, 1))
    with ExitStack() as stack:
        processes = {reader.name: stack.enter_context(serving(_serve, reader.name, sockets)) for reader in readers}
        costs: dict[str, list[Cost]] = {name: [] for name in processes}
        for _ in range(rounds):
            for name, orders in processes.items():
                orders.send(repeats)
                costs[name].append(orders.recv())
    return {
        name: Cost(
            cpu=min(cost.cpu for cost in measured),
            wall=min(cost.wall for cost in measured),
            memory=max(cost.memory for cost in measured),
        )
        for name, measured in costs.items()
    }


def _serve(name: str, sockets: int, orders: Connection) -> None:
    reader = next(reader for reader in READERS if reader.name == name)
    who = resource.RUSAGE_CHILDREN if reader.command else resource.RUSAGE_SELF
    with reader.prepare() as read:
        seen = read()  # the first read warms up
        if seen is not None and seen < sockets:
            raise RuntimeError(f"{name} saw {seen} of {sockets} sockets")
        while True:
            try:
                repeats = orders.recv()
            except EOFError:
                return
            cpu, wall = _cpu(who), time.perf_counter()
            for _ in range(repeats):
                read()
            cpu, wall = _cpu(who) - cpu, time.perf_counter() - wall
            memory = peak_memory_of_command(reader.command) if reader.command else peak_memory()
            orders.send(Cost(cpu / repeats, wall / repeats, memory))


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
