"""Which process holds a socket: real processes of two users."""

import codecs
import ctypes
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pytest

from ss_pusher.attribute import process
from ss_pusher.attribute.process import KEEP_SECONDS, Processes, missing_privilege
from tests import needs
from tests.waiting import wait_for

T = TypeVar("T")

NOBODY: Final = 65534
SETRESUID: Final = {"x86_64": 117, "aarch64": 147}  # arch/*/include of the kernel: the number of the system call


def as_nobody(function: Callable[[], T]) -> T:
    """Call it in a thread that has no privilege any more: the system call, unlike libc's, changes one thread alone."""
    needs.root()
    codecs.lookup("ascii")  # what Python loads late may lie where nobody may not read
    number = SETRESUID.get(platform.machine()) or needs.unavailable("setresuid has no known number here")

    def inside() -> T:
        if ctypes.CDLL(None, use_errno=True).syscall(number, NOBODY, NOBODY, NOBODY) != 0:
            raise OSError(ctypes.get_errno(), "setresuid")
        return function()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(inside).result()


@contextmanager
def held_by_cat(user: int | None = None) -> Iterator[tuple[int, int]]:
    """A process that holds a socket of its own: the socket's inode and the process's number."""
    with socket.socket() as own:
        argv = [needs.command("cat")]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, user=user, pass_fds=[own.fileno()])
        inode = os.fstat(own.fileno()).st_ino
    with child:
        comm = Path(f"/proc/{child.pid}/comm")
        wait_for(lambda: comm.read_text(encoding="ascii") == "cat\n", "the process runs")
        yield inode, child.pid


def pids(processes: Processes, *inodes: int) -> list[int]:
    return [int(pid) for pid in processes.look_up(np.array(inodes, np.uint32))]


def test_root_finds_the_process_and_the_command_of_every_users_sockets() -> None:
    needs.root()
    processes = Processes(Path("/"), lambda: 0.0)
    with held_by_cat() as (first, by_root), held_by_cat(NOBODY) as (second, by_nobody), socket.socket() as own:
        inode = os.fstat(own.fileno()).st_ino
        assert pids(processes, second, 0, first, inode) == [by_nobody, 0, by_root, os.getpid()]
    assert processes.command(by_nobody) == "cat"
    assert processes.command(0) == ""


def test_without_privilege_own_sockets_are_named_and_the_others_not() -> None:
    with held_by_cat() as (first, _), held_by_cat(NOBODY) as (second, by_nobody):
        found = as_nobody(lambda: pids(Processes(Path("/"), lambda: 0.0), first, second))
        assert found == [0, by_nobody]


def test_what_is_missing_is_said_only_to_whom_it_is_missing() -> None:
    with held_by_cat():
        text = as_nobody(lambda: missing_privilege(Path("/"), may_trace=False))
        assert "CAP_SYS_PTRACE" in text
        assert "CAP_DAC_READ_SEARCH" in text
        assert missing_privilege(Path("/"), may_trace=True) == ""


def test_that_links_may_not_be_read_is_missing_too() -> None:
    """CAP_DAC_READ_SEARCH alone lists the descriptors of others, and CAP_SYS_PTRACE reads where they lead."""
    needs.root()
    only = ("--inh-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search", "--reuid=65534")
    assert "CAP_SYS_PTRACE" in said_to(needs.command("setpriv"), *only, "--ambient-caps=+dac_read_search")


def test_that_processes_are_hidden_is_missing_too() -> None:
    needs.root()
    hidden = 'mount -t proc -o hidepid=invisible proc /proc && exec "$@"'
    assert "hidepid" in said_to(
        needs.command("unshare"),
        "-m",
        "sh",
        "-c",
        hidden,
        "sh",
        needs.command("setpriv"),
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    )


def said_to(*prefix: str) -> str:
    """What is missing, in a process that is started by the command `prefix`."""
    code = "from ss_pusher.attribute.process import *; print(missing_privilege(Path('/'), may_trace=False))"
    return subprocess.run([*prefix, sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_of_several_processes_that_hold_a_socket_the_first_is_named() -> None:
    with socket.socket() as own:
        argv = [needs.command("cat")]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, pass_fds=[own.fileno()]) as child:
            assert child.pid != os.getpid()
            found = pids(Processes(Path("/"), lambda: 0.0), os.fstat(own.fileno()).st_ino)
            assert found == [min(os.getpid(), child.pid)]


def test_a_socket_that_is_known_is_not_looked_for_again_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    real = process.pids

    def counted(proc: Path) -> list[int]:
        nonlocal passes
        passes += 1
        return real(proc)

    monkeypatch.setattr(process, "pids", counted)
    now = 0.0
    processes = Processes(Path("/"), lambda: now)
    with socket.socket() as one, socket.socket() as other, socket.socket() as late:
        inodes = [os.fstat(each.fileno()).st_ino for each in (one, other, late)]
        nobody = max(inodes) + 1_000_000
        for _ in range(3):
            assert pids(processes, *inodes[:2], nobody) == [os.getpid(), os.getpid(), 0]
        assert passes == 1
        now = KEEP_SECONDS / 2
        assert pids(processes, inodes[2], inodes[0]) == [os.getpid()] * 2
        assert passes == 2
        now = KEEP_SECONDS
        assert pids(processes, inodes[2]) == [os.getpid()]
        assert passes == 2
        assert pids(processes, *inodes) == [os.getpid()] * 3
        assert passes == 3


def test_one_pass_finds_the_sockets_of_the_dumps_of_all_namespaces() -> None:
    ticks = iter(range(1_000))
    processes = Processes(Path("/"), lambda: float(next(ticks)))  # a pass takes long, and so rests long
    with socket.socket() as one, socket.socket() as other, socket.socket() as gone:
        inodes = [os.fstat(each.fileno()).st_ino for each in (one, other, gone)]
        for inode, namespace in zip(inodes, ("", "blue", "red"), strict=True):
            processes.observe(np.array([inode], np.uint32), namespace)
        processes.forget("red")
        assert [pids(processes, inode) for inode in inodes] == [[os.getpid()], [os.getpid()], [0]]


def test_answers_whose_time_is_over_take_no_memory() -> None:
    now = 0.0
    processes = Processes(Path("/"), lambda: now)
    pids(processes, *range(1_000_000_000, 1_000_001_000))
    now = KEEP_SECONDS
    pids(processes, 5)
    assert len(processes._inodes) == 1


def test_a_process_that_ends_during_the_pass_is_no_error(tmp_path: Path) -> None:
    fd = tmp_path / "proc/7/fd"
    fd.mkdir(parents=True)
    (tmp_path / "proc/8").mkdir()
    (tmp_path / "proc/self").mkdir()
    (fd / "0").symlink_to("/dev/null")
    (fd / "1").symlink_to("socket:[4711]")
    (fd / "2").write_text("no link", encoding="ascii")
    processes = Processes(tmp_path, lambda: 0.0)
    assert pids(processes, 4711, 4712) == [7, 0]
    assert processes.command(7) == ""


def test_the_pass_ends_when_every_socket_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in (5, 6, 10):
        (tmp_path / f"proc/{pid}/fd").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/fd/0").symlink_to("socket:[4711]" if pid > 5 else "pipe:[4711]")
    looked_into = []
    real = process.socket_inodes

    def watched(proc: Path, pid: int) -> Iterator[int]:
        looked_into.append(pid)
        return real(proc, pid)

    monkeypatch.setattr(process, "socket_inodes", watched)
    assert pids(Processes(tmp_path, lambda: 0.0), 4711) == [6]
    assert looked_into == [5, 6]
