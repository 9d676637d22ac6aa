"""`ss-pusher run`: the job starts as soon as it is certain that the configuration can be used."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ss_pusher.app.plan import read_config
from ss_pusher.attribute.cgroup import mount_point
from ss_pusher.attribute.process import socket_inodes
from ss_pusher.batch import cgroup, process
from ss_pusher.batch.outcome import Outcome
from ss_pusher.batch.tree import ProcessTree
from ss_pusher.config.invalid import InvalidError
from ss_pusher.config.values import parse_label_name
from ss_pusher.errors import ConfigError

_PROC: Final = Path("/proc")
_SOCKETS_NAME_CGROUPS: Final = (5, 9)
"""Linux from which on a dump tells cgroups (INET_DIAG_CGROUP_ID), and can be asked for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says. `labels` are as they were given, `interval` is in seconds."""

    config: Path
    command: Sequence[str]
    job: str
    labels: Sequence[str]
    run_id: str
    interval: float | None
    summary: bool


def run(wish: Wish) -> int:
    """Run the job, and push before it ends; its exit code.

    Raises:
        ConfigError: the configuration or a label cannot be used; nothing was started.
    """
    name = wish.job or Path(wish.command[0]).name
    config = read_config(wish.config)
    labels = _labels(wish)
    with _own_cgroup() as (inside, cgroups):
        before = set(socket_inodes(_PROC, os.getpid()))
        began, began_at = time.time(), time.monotonic()
        if not config.remote_write and not config.pushgateway:
            pass
        job = process.start(wish.command, inside)
    return 0


def _labels(wish: Wish) -> dict[str, str]:
    """The labels of the command line. Raises ConfigError."""
    labels: dict[str, str] = {}
    problems = []
    for given in wish.labels:
        name, equals, value = given.partition("=")
        try:
            labels[parse_label_name(name)] = value
        except InvalidError as error:
            problems.append(f"--label {given}: {name!r} {error}")
        if not equals or not value:
            problems.append(f"--label {given}: write NAME=VALUE")
        if name == "job":
            problems.append(f"--label {given}: is what --job is for")
    if problems:
        raise ConfigError(problems)
    return labels | ({"run_id": wish.run_id} if wish.run_id else {})
