"""Measures what names and filters cost, on sockets opened for it, and writes a table into the documentation."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Final, NamedTuple

from bench import report
from bench.collector import DOCUMENT, INSIDE, in_a_namespace_of_its_own
from bench.flows import Flows
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.attribute.process import Processes
from ss_pusher.model import AddressFamily, Rule, Sockets, TcpState
from ss_pusher.netlink.dump import Dumper
from ss_pusher.netlink.filter import Known, compile_rules
from ss_pusher.netlink.tcp_info import FIELDS, Field

DESCRIPTORS: Final = 20_000
BEGIN: Final = "<!-- the costs of names and filters, by make bench, from here -->"
END: Final = "<!-- to here: names and filters -->"

_FAMILIES: Final = tuple(AddressFamily)
_READ: Final[tuple[Field, ...]] = tuple(FIELDS[name] for name in ("rtt", "bytes_sent", "bytes_received"))
_LABELS: Final = ("direction", "unit", "remote_network")
_NETWORKS: Final = {f"network-{n}": [ip_network(f"127.0.{n}.0/24")] for n in range(1, 101)}


class Result(NamedTuple):
    """One line of the table."""

    what: str
    measured: str
    goal: str


def main(argv: Sequence[str]) -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(prog="bench.naming", description=__doc__)
    parser.add_argument("--sockets", default="100000", help="how many; of a list the most (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many, of which the best counts (%(default)s)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document to write into (%(default)s)")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.inside:
        return in_a_namespace_of_its_own("bench.naming", argv)
    most = max(int(number) for number in options.sockets.split(","))
    results = "\n".join(_table(list(_measure(most, options.rounds)), options.rounds))
    print(results)
    report.write(options.output, results, BEGIN, END)
    return 0


def _measure(sockets: int, rounds: int) -> Iterator[Result]:
    with Flows() as flows, Dumper() as dumper:
        few = min(DESCRIPTORS, sockets)
        flows.grow_to(few)
        yield from _processes(_dump(dumper), few, rounds)
        flows.grow_to(sockets)
        yield _names(_dump(dumper), rounds)
        yield _filter(dumper, flows.processes, rounds)


def _processes(sockets: Sockets, descriptors: int, rounds: int) -> Iterator[Result]:
    """A pass over /proc for all sockets at once, as at the first tick, and the same again."""

    def look_up() -> Processes:
        processes = Processes(Path("/"), time.monotonic)
        processes.look_up(sockets.inode)
        return processes

    first = _best(look_up, rounds)
    known = look_up()
    again = _best(lambda: known.look_up(sockets.inode), rounds)
    what = f"processes of {descriptors:,} descriptors"
    yield Result(f"{what}, the first tick", f"{first:.3f} s", "0.2 s")
    yield Result(f"{what}, all known", f"{again:.4f} s", "next to nothing")


def _names(sockets: Sockets, rounds: int) -> Result:
    attributor = Attributor(networks=_NETWORKS)

    def name() -> None:
        attributor.observe(sockets)
        attributor.attribute(sockets).keys(_LABELS)

    name()
    spent = _best(name, rounds) / len(sockets) * 1e6
    return Result(f"{', '.join(_LABELS)} of {len(sockets):,} sockets, a socket", f"{spent:.3f} µs", "0.3 µs")


def _filter(dumper: Dumper, processes: int, rounds: int) -> Result:
    """Rules that keep the clients of one of the destinations of each process, which are one in a hundred."""
    kept = tuple(ip_network(f"127.0.{number}.1/32") for number in range(1, processes + 1))
    rules = (Rule(keeps=True, remote_networks=kept), Rule(keeps=False))
    program = compile_rules(rules, Known())

    def filtered() -> Sockets:
        return dumper.dump(_FAMILIES, program.states, _READ, bytecode=program.bytecode)

    every, some = len(_dump(dumper)), len(filtered())
    share = _best(filtered, rounds) / _best(lambda: _dump(dumper), rounds)
    what = f"a dump of {every:,} sockets of which the kernel lets {some:,} through, to one of all"
    return Result(what, f"{share:.2f}", "0.33")


def _dump(dumper: Dumper) -> Sockets:
    return dumper.dump(_FAMILIES, list(TcpState), _READ)


def _best(work: Callable[[], object], rounds: int) -> float:
    """Seconds of processor, those of the kernel for us included."""
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def _table(results: Sequence[Result], rounds: int) -> Iterator[str]:
    yield from report.introduction(f"the CPU time, best of {rounds} rounds.")
    yield report.row("", "measured", "goal: at most")
    yield report.row("---", "---:", "---:")
    yield from (report.row(*result) for result in results)
    yield ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
