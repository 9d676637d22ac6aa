"""Which sockets are the job's."""

from dataclasses import replace

import numpy as np

from ss_pusher.batch.sockets import JobSockets
from ss_pusher.model import Sockets
from tests.flows import Flow, sockets


class Holding:
    """Processes that hold these inodes, before and after a dump."""

    def __init__(self) -> None:
        self.before: set[int] = set()
        self.after: set[int] = set()

    def held_now(self) -> set[int]:
        return self.before

    def held(self) -> set[int]:
        return self.after


def dump(*rows: tuple[int, int, int]) -> Sockets:
    """Sockets by cookie, inode and cgroup."""
    plain = sockets([Flow(cookie) for cookie, _, _ in rows])
    return replace(
        plain,
        inode=np.array([inode for _, inode, _ in rows], np.uint32),
        cgroup=np.array([cgroup for _, _, cgroup in rows], np.uint64),
    )


def told(job: JobSockets, *rows: tuple[int, int, int]) -> list[bool]:
    """Of each row of the next dump, whether it is the job's."""
    [(_, read)] = job.read(lambda: [("", dump(*rows))])
    return [bool(own) for own in job.own(read)]


def test_what_a_process_holds_before_or_after_the_dump_is_the_jobs() -> None:
    holding = Holding()
    job = JobSockets(holding, set, list)
    holding.before, holding.after = {11}, {12}
    assert told(job, (1, 11, 0), (2, 12, 0), (3, 13, 0)) == [True, True, False]


def test_what_was_the_jobs_stays_its_own_without_a_process() -> None:
    holding = Holding()
    job = JobSockets(holding, set, list)
    holding.after = {11}
    assert told(job, (1, 11, 0)) == [True]
    holding.after = set()
    assert told(job, (1, 0, 0), (2, 0, 0)) == [True, False]


def test_a_cookie_that_is_gone_is_forgotten() -> None:
    holding = Holding()
    job = JobSockets(holding, set, list)
    holding.after = {11}
    assert told(job, (1, 11, 0)) == [True]
    holding.after = set()
    assert told(job) == []
    assert told(job, (1, 0, 0)) == [False]


def test_cgroups_decide_where_there_are_any() -> None:
    holding = Holding()
    holding.before = holding.after = {11}
    job = JobSockets(holding, set, lambda: [70, 71])
    assert told(job, (1, 11, 5), (2, 0, 70), (3, 13, 71)) == [False, True, True]


def test_the_wrappers_sockets_are_never_the_jobs() -> None:
    holding = Holding()
    holding.after = {11, 12}
    assert told(JobSockets(holding, lambda: {12}, list), (1, 11, 0), (2, 12, 0)) == [True, False]
    assert told(JobSockets(holding, lambda: {12}, lambda: [7]), (1, 11, 7), (2, 12, 7)) == [True, False]
