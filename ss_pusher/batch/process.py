"""Runs a command as if nobody stood between it and whoever started it: exit code, signals, terminal and streams.

Uses the standard library only, and little of it: see `Waiting`.
"""

import ctypes
import errno
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn, Self, TypeAlias

FORWARDED: Final = frozenset(
    signal.valid_signals()
    - {signal.SIGKILL, signal.SIGSTOP}  # cannot be caught
    - {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}  # our own faults
    - {signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGWINCH, signal.SIGURG}  # the same, or end nobody
    - {signal.SIGTTIN, signal.SIGTTOU}  # a terminal stops all of our group by itself
)
"""All that somebody may send and that would end us, and SIGTSTP and SIGCONT: signal(7)."""
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
SIGNALLED: Final = 128
"""Exit codes as shells have them: bash(1), "EXIT STATUS"."""

_PR_SET_CHILD_SUBREAPER: Final = 36  # Linux include/uapi/linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_SI_KERNEL: Final = 0x80  # Linux include/uapi/asm-generic/siginfo.h
_KEYS: Final = (signal.SIGINT, signal.SIGQUIT)  # that end the job and its wrapper alike: termios(3)
_TERMINALS: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP)
_STREAMS: Final = 3
_FIRST_BYTES: Final = 80  # in which bash looks for a NUL, too
_KIBIBYTE: Final = 1024  # ru_maxrss is in these: getrusage(2)
# Python ignores them for itself, and what is ignored stays so across exec: signal(7).
_PYTHON_IGNORES: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_PYTHONS_OWN: Final = (*_PYTHON_IGNORES, signal.SIGINT)


class Ended(NamedTuple):
    """How the job ended: its code as a shell would give it, and what it and its children used."""

    exit_code: int
    max_resident_bytes: int = 0
    cpu_seconds: float = 0.0
    key: int = 0
    """The signal that ended it, if that came from the keyboard and so to this process too; else 0."""


class Job:
    """A running command. Signals are held in this process; `wait` takes them."""

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid

    def wait(self) -> Ended:
        """Forward signals and reap whoever ends, until the job does. To be called on the main thread."""
        resident, cpu, keys = 0, 0.0, set[int]()
        while True:
            for pid, status, used in _changed():
                if os.WIFSTOPPED(status):
                    if pid == self.pid:
                        _stop_too()
                    continue
                resident = max(resident, used.ru_maxrss * _KIBIBYTE)
                cpu += used.ru_utime + used.ru_stime
                if pid == self.pid:
                    code = os.waitstatus_to_exitcode(status)
                    if code >= 0:
                        return Ended(code, resident, cpu)
                    return Ended(SIGNALLED - code, resident, cpu, -code if _was_typed(-code, keys) else 0)
            received = signal.sigwaitinfo({*FORWARDED, signal.SIGCHLD})
            if _concerns_us_alone(received):
                keys.add(received.si_signo)
            elif received.si_signo != signal.SIGCHLD:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, received.si_signo)


Mask: TypeAlias = set[signal.Signals | int]


def hold_signals() -> Mask:
    """Block what `Job.wait` takes; the mask that there was. To be called before any thread is started.

    Threads inherit the mask, and the kernel gives a signal to whichever does not block it. (numpy starts threads.)
    """
    return signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})


class Started(NamedTuple):
    """A job that runs, or why there is none; when that was, in Unix time and monotonic."""

    job: Job | Ended
    began: float
    began_at: float


class Waiting:
    """A process that waits to become the job. To be made while this one is small, and before any thread is started.

    What a process had resident before it became another program counts in its ru_maxrss too: exec_mmap(), Linux
    fs/exec.c.
    """

    def __init__(self, command: Sequence[str], mask: Mask) -> None:
        """It will run the command, with this mask of signals."""
        self._command: Final = command
        self._lock: Final = threading.Lock()
        self._started: Started | None = None
        go, self._go = os.pipe()
        self._failed, failed = os.pipe()
        self.pid: Final = os.fork()
        if not self.pid:
            os.close(self._go)
            _become(command, mask, go, failed)
        os.close(go)
        os.close(failed)

    def start(self) -> Started:
        """Let it become the job, if it was not told yet. Safe to call from any thread.

        Orphans among its descendants become ours, as those of PID 1 do, so that they can still be told to be the job's.
        """
        with self._lock:
            if self._started is None:
                began, began_at = time.time(), time.monotonic()
                self._started = Started(self._start(), began, began_at)
            return self._started

    def _start(self) -> Job | Ended:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        with suppress(BrokenPipeError):  # somebody killed it
            os.write(self._go, b"!")
        number = int.from_bytes(os.read(self._failed, 1))  # nothing comes once it is another program
        self._close()
        if not number:
            return Job(self.pid)
        os.waitpid(self.pid, 0)
        why = "cannot execute binary file" if number == errno.ENOEXEC else os.strerror(number)
        sys.stderr.write(f"ss-pusher: cannot run {self._command[0]}: {why}\n")
        return Ended(NOT_FOUND if number == errno.ENOENT else NOT_EXECUTABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let it end, if it was not told to become anything."""
        if self._started is None:
            self._close()
            os.waitpid(self.pid, 0)

    def _close(self) -> None:
        os.close(self._go)
        os.close(self._failed)


def die_alike(ended: Ended) -> None:
    """If a key ended the job, let its signal end this process too; PID 1 cannot die of its own signal, and returns.

    A shell whose loop was interrupted goes on with the next round, unless the signal killed what it waits for too:
    bash(1), "SIGNALS".
    """
    if ended.key:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # the core would be ours, and not the job's
        signal.signal(ended.key, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ended.key})
        os.kill(os.getpid(), ended.key)


def open_closed_streams() -> None:
    """Whichever of stdin, stdout and stderr is closed becomes /dev/null here, and stays closed for the job.

    Else the next socket would be one of them. Python lets nothing that it opens go across exec.
    """
    for descriptor in range(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: open(2)


def let_go_of_streams() -> None:
    """Only the job holds stdin and stdout from now on: whoever reads its output sees the end when it ends."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(nothing, descriptor, inheritable=False)
        if nothing > 1:
            os.close(nothing)


def _become(command: Sequence[str], mask: Mask, go: int, failed: int) -> NoReturn:
    """Wait for the word, and become the command; where that fails, tell the number of the error."""
    try:
        for number in _PYTHONS_OWN:
            if signal.getsignal(number) is not signal.SIG_IGN or number in _PYTHON_IGNORES:
                signal.signal(number, signal.SIG_DFL)
        if os.read(go, 1):
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            _execute(command)
    except OSError as error:
        os.write(failed, bytes([error.errno or errno.EIO]))
    finally:
        os._exit(NOT_EXECUTABLE)


def _execute(command: Sequence[str]) -> NoReturn:
    if not command[0]:
        raise FileNotFoundError(errno.ENOENT, "")  # Python would have a ValueError
    try:
        os.execvp(command[0], [*command])  # noqa: S606 - no shell is wanted
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without a #! line: exec(3) has execvp give it to the shell.
    path = shutil.which(command[0]) or command[0]
    if _is_binary(path):
        raise OSError(errno.ENOEXEC, "")
    os.execv("/bin/sh", ["/bin/sh", path, *command[1:]])  # noqa: S606 - the same


def _is_binary(path: str) -> bool:
    """Whether its first line holds a NUL, as sh's description in POSIX lets shells tell. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return b"\0" in os.read(descriptor, _FIRST_BYTES).partition(b"\n")[0]
    finally:
        os.close(descriptor)


def _changed() -> list[tuple[int, int, resource.struct_rusage]]:
    """Every child that has ended or stopped, ours or inherited: process id, wait status, usage."""
    changed: list[tuple[int, int, resource.struct_rusage]] = []
    with suppress(ChildProcessError):
        while (child := os.wait4(-1, os.WNOHANG | os.WUNTRACED))[0]:
            changed.append(child)
    return changed


def _stop_too() -> None:
    """Stop as the job did, so that the shell that waits for us has its terminal again; its `fg` continues both.

    Without a terminal there is no such shell, and whoever continues the job may not think of us.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return
    if signal.SIGCONT not in signal.sigpending():
        os.kill(os.getpid(), signal.SIGSTOP)


def _concerns_us_alone(received: signal.struct_siginfo) -> bool:
    """Whether the job has it by itself: Ctrl-C reaches the whole foreground group, and the job is in ours.

    When a terminal hangs up, its kernel tells the leader of the session alone. A limit of CPU time is each process'
    own, but a timer that we inherit (alarm(2)) was meant for the job.
    """
    if received.si_code != _SI_KERNEL or (received.si_signo == signal.SIGHUP and os.getsid(0) == os.getpid()):
        return False
    return received.si_signo in (*_TERMINALS, signal.SIGXCPU)


def _was_typed(number: int, keys: Collection[int]) -> bool:
    """Whether the signal that killed the job came from the keyboard; `keys` are those that did and were taken.

    The kernel gives it to all of the group before anybody can end of it, so ours may not have been taken yet.
    """
    if number not in _KEYS or number in keys:
        return number in _KEYS
    pending = signal.sigtimedwait({number}, 0)
    return pending is not None and _concerns_us_alone(pending)
