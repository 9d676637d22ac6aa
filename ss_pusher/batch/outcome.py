"""What is said of the job itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ss_pusher.model import Block, Family, MetricType


def _gauge(name: str, text: str, unit: str = "") -> Family:
    return Family(f"ss_pusher_job_{name}", MetricType.GAUGE, text, unit)


START_TIME: Final = _gauge("start_time_seconds", "When the job began, as Unix time.", "seconds")
END_TIME: Final = _gauge("end_time_seconds", "When the job ended, as Unix time.", "seconds")
DURATION: Final = _gauge("duration_seconds", "How long the job ran.", "seconds")
EXIT_CODE: Final = _gauge("exit_code", "The job's exit code; 128 and the number of the signal that killed it.")
MAX_RESIDENT: Final = _gauge(
    "max_resident_memory_bytes", "Most memory that one process of the job had resident (ru_maxrss).", "bytes"
)
CPU: Final = _gauge("cpu_seconds", "CPU time of the job and of its children that ended, user and system.", "seconds")
SUCCESS: Final = _gauge("success", "1 if the job's exit code is 0, else 0.")
LAST_SUCCESS: Final = _gauge("last_success_time_seconds", "When the job last ended with exit code 0.", "seconds")

UNATTRIBUTED: Final = _gauge(
    "unattributed_flows",
    "Connections of this host that opened and closed while the job ran and were in no look at its sockets: whose they "
    "were is unknown.",
)

FAMILIES: Final = (
    *(START_TIME, END_TIME, DURATION, EXIT_CODE, MAX_RESIDENT, CPU, SUCCESS, LAST_SUCCESS),
    UNATTRIBUTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended. `end` is Unix time; `duration` comes from a clock that nobody sets; in seconds."""

    end: float
    duration: float
    exit_code: int
    max_resident_bytes: int
    cpu_seconds: float


def blocks(start: float, outcome: Outcome | None) -> Iterator[Block]:
    """One block a family: those of the end only after it, and the last success only of one.

    `start` is Unix time in seconds.
    """
    values = {START_TIME: start}
    if outcome:
        values |= {
            END_TIME: outcome.end,
            DURATION: outcome.duration,
            EXIT_CODE: outcome.exit_code,
            MAX_RESIDENT: outcome.max_resident_bytes,
            CPU: outcome.cpu_seconds,
            SUCCESS: float(outcome.exit_code == 0),
        }
        if outcome.exit_code == 0:
            values[LAST_SUCCESS] = outcome.end
    yield from map(_block, values, values.values())


def unattributed(count: int) -> Block:
    """How many connections closed of which nobody knows whether they were the job's."""
    return _block(UNATTRIBUTED, count)


def _block(family: Family, value: float) -> Block:
    return Block((family,), ((),), np.array([[value]], np.float64), np.zeros(1, np.int64))
