"""`with ss_pusher.job("nightly-etl") as job:` watches this process and its children from inside."""

import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry

from ss_pusher import metrics
from ss_pusher.app.batch import OwnMetrics, Session
from ss_pusher.app.job_config import config_of, for_job, label_problem, presentable
from ss_pusher.app.plan import PRESETS
from ss_pusher.attribute.process import socket_inodes
from ss_pusher.batch import outcome, registry
from ss_pusher.batch.asked import Asked
from ss_pusher.batch.outcome import Outcome
from ss_pusher.batch.process import SIGNALLED
from ss_pusher.batch.sockets import JobSockets
from ss_pusher.batch.tree import ProcessTree
from ss_pusher.config import Config
from ss_pusher.config.values import parse_duration
from ss_pusher.errors import ConfigError
from ss_pusher.send.deadline import opened

logger = logging.getLogger("ss_pusher")

_PROC: Final = Path("/proc")
_KIBIBYTE: Final = 1024
_VARIABLE: Final = "SS_PUSHER_CONFIG"
_PATIENCE: Final = 5.0
"""Seconds to wait at most until it is known what this process' sockets moved before."""


class Job:
    """A block of a Python program as a batch job; nothing that goes wrong in here is raised into it.

    `labels` may be added to until the block ends. The end is pushed also on an exception, and on SIGTERM where the
    program has no handler of its own.
    """

    def __init__(
        self,
        name: str,
        *,
        config: str | os.PathLike[str] | None = None,
        labels: Mapping[str, str] | None = None,
        run_id: str = "",
        interval: str | float | None = None,
    ) -> None:
        """`config` is a file; without it SS_PUSHER_CONFIG names it. `run_id` is one more label.

        `interval`, like 15s or a number of seconds, also pushes meanwhile. A `name` that is empty is the program's.
        """
        self._told: Final[set[str]] = set()
        self.name: Final = _text(name) or _program()
        self.labels = self._items(labels) | ({"run_id": run_id} if _text(run_id) else {})
        self._path: Final = config or os.environ.get(_VARIABLE)
        self._interval: Final = interval
        self._session: Session | None = None
        self._process = 0
        self._began = self._began_at = self._cpu_before = 0.0
        self._handles_sigterm = False
        self._mask: set[signal.Signals | int] = set()

    @cached_property
    def registry(self) -> CollectorRegistry:
        """Metrics that are registered here go with the job's."""
        return registry.Registry(self._warn)

    def __enter__(self) -> Self:
        self._process = os.getpid()
        self._began, self._began_at, self._cpu_before = time.time(), time.monotonic(), _used()[1]
        try:
            self._session = self._open()
            self._session.began = self._began
            self._session.start(_PATIENCE)
            self._handle_sigterm()
        except Exception as error:  # noqa: BLE001 - a job must not fail because its metrics do
            self._warn(f"it is not watched: {error}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A child that was forked in the block leaves it too: it is not the job, and a lock may be held for ever there.
        if self._process == os.getpid():
            self._finish(_exit_code(error))

    def _open(self) -> Session:
        if not self._path:
            raise ConfigError([f"no configuration: give config=, or set {_VARIABLE}"])
        config = config_of(Path(self._path))
        tree = ProcessTree(os.getpid(), partial(socket_inodes, _PROC), with_root=True)
        return Session(
            partial(self._config, config),
            JobSockets(tree, opened, list),
            interval=self._seconds(),
            baseline=True,
            own=partial(self._own, config, Asked(partial(self._registry_blocks, config))),
            used=time.thread_time,  # the rest of the process is the job
        )

    def _warn(self, words: str) -> None:
        """Once, however often it is pushed."""
        if words not in self._told:
            self._told.add(words)
            logger.warning("job %s: %s", self.name, words)

    def _items(self, labels: Any) -> dict[Any, Any]:
        try:
            return dict(labels or {})
        except Exception as error:  # noqa: BLE001 - whatever that is
            self._warn(f"its labels are no mapping, so it goes without them: {error}")
            return {}

    def _seconds(self) -> float | None:
        """The interval; None where there is none, or none that can be used."""
        given = self._interval
        try:
            seconds = given if given is None or isinstance(given, int | float) else parse_duration(given)
        except Exception as error:  # noqa: BLE001 - as above
            self._warn(f"nothing is pushed before its end: interval {given!r}: {error}")
            return None
        if seconds is None or 0 < seconds <= threading.TIMEOUT_MAX:
            return seconds
        self._warn(f"nothing is pushed before its end: interval {given!r}: must be more than nothing")
        return None

    def _config(self, config: Config) -> Config:
        """With the labels as they are now; without those that cannot be used."""
        given = {_text(label): _text(value) for label, value in self._items(self.labels).items()}
        problems = {label: problem for label in given if (problem := label_problem(config, label))}
        for problem in problems.values():
            self._warn(f"it goes without a label: {problem}")
        return for_job(config, self.name, {label: given[label] for label in given.keys() - problems.keys()})

    def _own(self, config: Config, registered: Asked[OwnMetrics], ended: Outcome | None, _began_ms: int) -> OwnMetrics:
        blocks = tuple(outcome.blocks(self._began, ended))
        if "registry" not in vars(self):
            return blocks, ()
        told = registered.answer(config.shutdown_deadline / 2)  # the rest is for the push
        if told is None:
            self._warn("its registry did not answer in time, and what is pushed goes without it")
            return blocks, ()
        others, histograms = told
        return (*blocks, *others), histograms

    def _registry_blocks(self, config: Config) -> OwnMetrics:
        configured = self._config(config)
        keys = (section.grouping_key for section in configured.pushgateway)
        return registry.blocks(
            self._registered(),
            int(self._began * 1000),
            labels_taken=frozenset().union(configured.external_labels, *keys),
            names_taken=metrics.chosen(PRESETS[config.metrics.preset], config.metrics.include, config.metrics.exclude),
            warn=self._warn,
        )

    def _registered(self) -> Iterator[Any]:
        try:
            yield from self.registry.collect()
        except Exception as error:  # noqa: BLE001 - the program may have put another in its place
            self._warn(f"its registry cannot be read: {error!r}")

    def _finish(self, exit_code: int) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if self._handles_sigterm:
            self._handles_sigterm = False
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resident, cpu = _used()
        duration = time.monotonic() - self._began_at
        try:
            session.finish(
                Outcome(
                    end=self._began + duration,
                    duration=duration,
                    exit_code=exit_code,
                    max_resident_bytes=resident,
                    cpu_seconds=cpu - self._cpu_before,
                )
            )
        except Exception as error:  # noqa: BLE001 - as above
            self._warn(f"its end cannot be pushed: {error}")

    def _handle_sigterm(self) -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminated)
            self._handles_sigterm = True
            os.register_at_fork(before=self._hold, after_in_parent=self._let, after_in_child=self._let_in_child)

    def _hold(self) -> None:
        """Python forgets what comes to a child before the fork is over; without our handler it would have died."""
        if self._handles_sigterm:
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _let(self) -> None:
        if self._handles_sigterm:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _let_in_child(self) -> None:
        if self._handles_sigterm:
            if signal.getsignal(signal.SIGTERM) == self._terminated:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._let()

    def _terminated(self, number: int, _frame: FrameType | None) -> None:
        """Push, then die of the signal as if nobody had caught it."""
        self._finish(SIGNALLED + number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _text(value: object) -> str:
    """As text for a label; what is None or cannot be written is empty."""
    try:
        return "" if value is None else presentable(str(value))
    except Exception:  # noqa: BLE001 - an object's own __str__
        return ""


def _program() -> str:
    """What Python runs, by the name of its file."""
    name = presentable(Path(sys.argv[0]).name) if getattr(sys, "argv", None) else ""
    return "python" if name in ("", "-c", "-m") else name


def _exit_code(error: BaseException | None) -> int:
    """What the interpreter will exit with, if nobody catches it."""
    match error:
        case None:
            return 0
        case SystemExit(code=None):
            return 0
        case SystemExit(code=int(code)):
            return code & 0xFF
        case KeyboardInterrupt():
            return SIGNALLED + signal.SIGINT
        case _:
            return 1


def _used() -> tuple[int, float]:
    """Most resident bytes of one process, and CPU seconds, of this one and its children that ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return max(used.ru_maxrss for used in both) * _KIBIBYTE, sum(used.ru_utime + used.ru_stime for used in both)
