"""The benchmarks of the ledger and of the announcements run, and fill their tables."""

import os
import subprocess
import sys
from pathlib import Path

from bench import closed_flows, ledger


def table(document: Path, module: str, *options: str) -> list[list[str]]:
    """The cells of the table that a benchmark writes."""
    command = [sys.executable, "-m", module, "--rounds=1", f"--output={document}", *options]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = [line for line in document.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows[2:]]


def test_the_ledger_is_measured_in_every_case(tmp_path: Path) -> None:
    rows = table(tmp_path / "performance.md", "bench.ledger", "--sockets=1000")
    assert [name for name, _, _ in rows] == [case.name for case in ledger.CASES]
    for _, spent, _ in rows:
        assert float(spent.removesuffix(" µs")) > 0
    assert ledger.END in (tmp_path / "performance.md").read_text()


def test_closes_are_counted_at_each_rate(tmp_path: Path) -> None:
    ((reached, as_root, unprivileged, cpu),) = table(
        tmp_path / "performance.md", "bench.closed_flows", "--sockets=200", "--rates=5000"
    )
    assert 0 < int(reached.replace(",", "")) < 10_000
    assert as_root == ("0" if os.geteuid() == 0 else "not measured: needs root")
    assert int(unprivileged) <= 200
    assert float(cpu.removesuffix(" µs")) > 0
    assert closed_flows.END in (tmp_path / "performance.md").read_text()
