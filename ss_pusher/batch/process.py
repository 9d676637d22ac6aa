"""Runs a command as if nobody stood between it and whoever started it: exit code, signals, terminal and streams.

Uses the standard library only, because the job waits for the import.
"""

import ctypes
import errno
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

FORWARDED: Final = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
SIGNALLED: Final = 128
"""Exit codes as shells have them: bash(1), "EXIT STATUS"."""

_PR_SET_CHILD_SUBREAPER: Final = 36  # Linux include/uapi/linux/prctl.h
_SI_KERNEL: Final = 0x80  # Linux include/uapi/asm-generic/siginfo.h
_KIBIBYTE: Final = 1024  # ru_maxrss is in these: getrusage(2)
# Python ignores them for itself, and what is ignored stays so across exec: signal(7).
_PYTHON_IGNORES: Final = (signal.SIGPIPE, signal.SIGXFSZ)


class Ended(NamedTuple):
    """How the job ended: its code as a shell would give it, and what it and its children used."""

    exit_code: int
    max_resident_bytes: int = 0
    cpu_seconds: float = 0.0


class Job:
    """A running command. Signals are held in this process; `wait` takes them."""

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid

    def wait(self) -> Ended:
        """Forward signals and reap whoever ends, until the job does. To be called on the main thread."""
        resident, cpu = 0, 0.0
        while True:
            for pid, status, used in _reaped():
                resident = max(resident, used.ru_maxrss * _KIBIBYTE)
                cpu += used.ru_utime + used.ru_stime
                if pid == self.pid:
                    code = os.waitstatus_to_exitcode(status)
                    return Ended(code if code >= 0 else SIGNALLED - code, resident, cpu)
            received = signal.sigwaitinfo({*FORWARDED, signal.SIGCHLD})
            if received.si_signo != signal.SIGCHLD and not _came_to_both(received):
                with suppress(ProcessLookupError):
                    os.kill(self.pid, received.si_signo)


Mask: TypeAlias = set[signal.Signals | int]


def hold_signals() -> Mask:
    """Block what `Job.wait` takes; the mask that there was. To be called before any thread is started.

    Threads inherit the mask, and the kernel gives a signal to whichever does not block it. (numpy starts threads.)
    """
    return signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})


def start(
    command: Sequence[str], mask: Mask, inside: Callable[[Callable[[], int]], int] = lambda spawn: spawn()
) -> Job | Ended:
    """Start the command at once, with this mask; `Ended` where it cannot be, after a word on stderr.

    Orphans among its descendants become ours, as those of PID 1 do, so that they can still be told to be the job's.
    `inside` is called with what spawns the process, so that it may choose where that happens.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        return Job(inside(lambda: _spawn(command, mask)))
    except OSError as error:
        sys.stderr.write(f"ss-pusher: cannot run {command[0]}: {os.strerror(error.errno or 0)}\n")
        return Ended(NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE)


def let_go_of_streams() -> None:
    """Only the job holds stdin and stdout from now on: whoever reads its output sees the end when it ends."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(nothing, descriptor, inheritable=False)
        if nothing > 1:
            os.close(nothing)


def _spawn(command: Sequence[str], mask: Mask) -> int:
    def spawn(path: str, arguments: list[str]) -> int:
        return os.posix_spawnp(path, arguments, os.environ, setsigmask=mask, setsigdef=_PYTHON_IGNORES)

    try:
        return spawn(command[0], [*command])
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without a #! line: exec(3) has execvp give it to the shell.
        return spawn("/bin/sh", ["/bin/sh", shutil.which(command[0]) or command[0], *command[1:]])


def _reaped() -> list[tuple[int, int, resource.struct_rusage]]:
    """Every child that has ended, ours or inherited: process id, wait status, usage."""
    ended: list[tuple[int, int, resource.struct_rusage]] = []
    with suppress(ChildProcessError):
        while (child := os.wait4(-1, os.WNOHANG))[0]:
            ended.append(child)
    return ended


def _came_to_both(received: signal.struct_siginfo) -> bool:
    """Whether a terminal sent it: Ctrl-C reaches the whole foreground group, and the job is in ours.

    When a terminal hangs up, its kernel tells the leader of the session alone.
    """
    leads = received.si_signo == signal.SIGHUP and os.getsid(0) == os.getpid()
    return received.si_code == _SI_KERNEL and not leads
