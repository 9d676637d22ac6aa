"""The benchmark runs, measures every reader on the sockets that it opened, and leaves none of them."""

import subprocess
import sys
from pathlib import Path

from bench import report
from bench.flows import Flows
from bench.readers import READERS


def connections(port_owner: str) -> int:
    """How many TCP sockets of this host have the address as their own."""
    listed = subprocess.run(["ss", "-tanH", "src", port_owner], check=True, capture_output=True, text=True).stdout
    return len(listed.splitlines())


def test_one_run_measures_every_reader_side_by_side(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    options = ["--sockets=200", "--rounds=1", f"--output={document}"]
    command = [sys.executable, "-m", "bench.collector", *options]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

    rows = [line.split(" | ") for line in document.read_text().splitlines() if line.startswith("| ")]
    measured = {row[0].removeprefix("| "): row[1:] for row in rows[2:]}
    assert list(measured) == [reader.name for reader in READERS]
    for cpu, wall, memory, *_ in measured.values():
        assert cpu.endswith(" µs")
        assert float(cpu.removesuffix(" µs")) > 0
        assert float(wall.removesuffix(" µs")) > 0
        assert int(memory.removesuffix(" MiB")) > 0


def test_connections_stay_open_until_the_end_and_leave_nothing() -> None:
    with Flows() as flows:
        flows.grow_to(20)
        flows.grow_to(60)
        assert connections("127.0.1.0/24") == 50 + 30  # the listening sockets, and one end of each connection
    assert connections("127.0.1.0/24") == 0


def test_results_replace_only_what_stands_between_the_markers(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(document, "new\n")
    report.write(document, "newer\n")
    assert document.read_text() == f"before\n{report.BEGIN}\n\nnewer\n\n{report.END}\nafter\n"
