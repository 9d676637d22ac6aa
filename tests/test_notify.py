"""What a service manager hears of the agent, over a real socket."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ss_pusher.notify import ServiceManager, service_manager


@pytest.fixture(params=["in the file system", "abstract"])
def manager_socket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A manager's socket, and its address as it stands in NOTIFY_SOCKET."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(10)
        listening.bind(path if request.param == "in the file system" else "\0" + path)
        yield listening, path if request.param == "in the file system" else "@" + path


def test_each_change_is_one_datagram(manager_socket: tuple[socket.socket, str]) -> None:
    listening, address = manager_socket
    manager = service_manager({"NOTIFY_SOCKET": address}, pid=1)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    manager.ready()
    manager.status("two\nlines")
    manager.alive()
    manager.reloading(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    manager.stopping()

    heard = [listening.recv(1000).decode() for _ in range(5)]
    assert heard[:3] == ["READY=1", "STATUS=two lines", "WATCHDOG=1"]
    reloading, _, since = heard[3].partition("\nMONOTONIC_USEC=")
    assert reloading == "RELOADING=1"
    assert before <= int(since) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert heard[4] == "STOPPING=1"


def test_a_manager_that_is_gone_or_busy_disturbs_nobody(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    ServiceManager(path).ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(path)
        for _ in range(2000):  # more than its queue holds
            ServiceManager(path).alive()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "60000000"}, 60),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "7"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "8"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_a_sign_of_life_is_due_only_when_this_process_was_asked_for_it(
    environment: dict[str, str], seconds: float
) -> None:
    assert service_manager(environment, pid=7).watchdog == seconds
