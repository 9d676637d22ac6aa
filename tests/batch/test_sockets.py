"""Which sockets are the job's."""

from dataclasses import replace

import numpy as np

from ss_pusher.batch.sockets import JobSockets
from ss_pusher.model import Sockets, TcpState
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


def test_what_only_a_look_showed_is_read_once() -> None:
    holding = Holding()
    job = JobSockets(holding, set, list)
    holding.after = {11, 12}
    job.look(lambda: [("", dump((1, 11, 0), (9, 90, 0)))])
    job.look(lambda: [("", dump((2, 12, 0), (9, 90, 0)))])
    assert told(job, (3, 13, 0), (2, 12, 0)) == [True, False, True]
    assert told(job, (3, 13, 0)) == [False]


def test_what_a_look_showed_comes_before_what_is_left_in_time_wait() -> None:
    """Of two rows with one cookie the first counts."""
    holding = Holding()
    job = JobSockets(holding, set, list)
    holding.after = {11}
    job.look(lambda: [("", dump((1, 11, 0)))])
    waiting = replace(dump((1, 0, 0)), state=np.array([TcpState.TIME_WAIT], np.uint8))
    [(_, read)] = job.read(lambda: [("", waiting)])
    assert read.state.tolist() == [TcpState.ESTABLISHED, TcpState.TIME_WAIT]


def test_the_latest_look_counts() -> None:
    holding = Holding()
    job = JobSockets(holding, set, list)
    holding.after = {11}
    for sent in (10, 20):
        job.look(lambda sent=sent: [("", replace(dump((1, 11, 0)), uid=np.array([sent], np.uint32)))])  # type: ignore[misc]  # mypy knows no defaults of lambdas
    [(_, read)] = job.read(lambda: [("", dump())])
    assert read.uid.tolist() == [20]


def test_looks_in_two_namespaces_are_kept_apart() -> None:
    holding = Holding()
    job = JobSockets(holding, set, list)
    holding.after = {11, 12}
    job.look(lambda: [("", dump((1, 11, 0))), ("other", dump((2, 12, 0)))])
    read = job.read(lambda: [("", dump()), ("other", dump())])
    assert [(name, sockets.cookie.tolist()) for name, sockets in read] == [("", [1]), ("other", [2])]


# ---- whose nobody knows ---------------------------------------------------------------------------------------------


def unseen(job: JobSockets, *cookies: int) -> int:
    """How many are unknown once these have closed."""
    job.unseen.closed(sockets([Flow(cookie) for cookie in cookies]))
    return job.unseen.count


def test_a_connection_that_closes_between_two_looks_is_counted() -> None:
    job = JobSockets(Holding(), set, list)
    told(job, (1, 11, 0))
    assert unseen(job, 1, 2) == 1
    assert unseen(job, 3) == 2


def test_one_whose_end_is_announced_late_was_seen() -> None:
    job = JobSockets(Holding(), set, list)
    told(job, (1, 11, 0))
    told(job)
    assert unseen(job, 1) == 0


def test_one_that_was_an_orphan_when_it_was_seen_is_unknown_unless_a_cgroup_tells() -> None:
    job = JobSockets(Holding(), set, list)
    told(job, (1, 0, 0))
    assert unseen(job, 1) == 1
    job = JobSockets(Holding(), set, lambda: [7])
    told(job, (1, 0, 5))
    assert unseen(job, 1) == 0


def test_time_wait_tells_nobodys() -> None:
    job = JobSockets(Holding(), set, lambda: [7])
    waiting = replace(dump((1, 0, 0)), state=np.array([TcpState.TIME_WAIT], np.uint8))
    job.look(lambda: [("", waiting)])
    assert unseen(job, 1) == 1


def test_what_never_had_a_peer_is_no_connection() -> None:
    job = JobSockets(Holding(), set, list)
    closed = sockets([Flow(1), Flow(2)])
    job.unseen.closed(replace(closed, remote=np.array([[0, 0], [0, 0xFFFF_0000_0000]], np.uint64)))
    assert job.unseen.count == 0
