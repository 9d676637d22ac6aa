"""Measures how many sockets may close in a second before one of them is missed, and writes it into the documentation."""

import argparse
import json
import multiprocessing
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

from bench import report
from bench.collector import DOCUMENT, INSIDE, in_a_namespace_of_its_own
from ss_pusher.app.collector import kernel_fields
from ss_pusher.app.plan import fields, make_plan
from ss_pusher.config import parse
from ss_pusher.model import AddressFamily
from ss_pusher.netlink.closed import ClosedFlows

BEGIN: Final = "<!-- the rate of closes, by make bench, from here -->"
END: Final = "<!-- to here: the rate of closes -->"
RATES: Final = (5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 200_000)
CLOSERS: Final = 2
RMEM_MAX: Final = 212_992  # what Linux allows everyone to ask for, unless net.core.rmem_max was raised
_LISTEN: Final = "--listen"
_ADDRESSES: Final = 50
_SPARE_DESCRIPTORS: Final = 200
_BURST: Final = 20  # sockets closed without a look at the clock
_QUIET: Final = 0.5  # seconds without an announcement, after which none will come any more
_SPAWN: Final = multiprocessing.get_context("spawn")
_UNPRIVILEGED: Final = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
)


class Heard(NamedTuple):
    """What a listener heard of the sockets that closed, and the processor time that it took, in seconds."""

    announced: int
    lost: int
    cpu: float


class Run(NamedTuple):
    """Sockets closed in a second, as reached, and what a listener heard of them."""

    rate: float
    heard: Heard


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="bench.closed_flows", description=__doc__)
    parser.add_argument("--sockets", default="36000", help="how many close in a run; of a list the most (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many, of which the worst counts (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(_LISTEN, type=int, metavar="BUFFER", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.listen:
        _listen(options.listen)
        return 0
    if not options.inside:
        return in_a_namespace_of_its_own("bench.closed_flows", argv)
    sockets = min(max(int(number) for number in options.sockets.split(",")), _most())
    results = "\n".join(_table(sockets, options.rounds))
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _most() -> int:
    """How many sockets the closers may have open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CLOSERS * (hard - _ADDRESSES - _SPARE_DESCRIPTORS)
