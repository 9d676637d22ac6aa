"""Compares ways to read all TCP sockets, on the same sockets in one run, and writes a table into the documentation."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import report
from bench.flows import Flows
from bench.measure import Costs, measure
from bench.readers import READERS

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "performance.md"
INSIDE: Final = "--inside"


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--sockets", default="1000,10000,100000", help="how many, as a list (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many, of which the best counts (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.inside:
        return in_a_namespace_of_its_own("bench.collector", argv)
    numbers = sorted(int(number) for number in options.sockets.split(","))
    results = report.markdown(_measure_all(numbers, options.rounds), options.rounds)
    print(results)
    report.write(options.output, results)
    return 0


def in_a_namespace_of_its_own(module: str, argv: Sequence[str]) -> int:
    """Run the module again where no other socket disturbs; on this host's loopback if the kernel refuses."""
    unshare = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    inside = [*unshare, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode != 0:
        print("No network namespace to be had: measuring on this host's loopback.", file=sys.stderr)
        inside = []
    command = [*inside, sys.executable, "-m", module, INSIDE, *argv]
    return subprocess.run(command, check=False).returncode


def _measure_all(numbers: Sequence[int], rounds: int) -> dict[int, Costs]:
    """For each number of sockets what each reader costs."""
    results = {}
    with Flows() as flows:
        for number in numbers:
            print(f"Opening {number:,} sockets", file=sys.stderr)
            flows.grow_to(number)
            print(f"Reading {number:,} sockets", file=sys.stderr)
            readers = [reader for reader in READERS if number <= reader.most]
            results[number] = measure(readers, number, rounds)
    return results


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
