"""The benchmark of batch jobs runs, and measures what it costs a job and which connections are told."""

import subprocess
import sys
from pathlib import Path

from bench.batch import BEGIN, END
from tests import needs


def test_one_run_measures_costs_and_what_is_told(tmp_path: Path) -> None:
    needs.root()
    document = tmp_path / "performance.md"
    options = ["--rounds=1", "--seconds=0.2", "--connections=1", "--lifetimes=300", f"--output={document}"]
    run = subprocess.run([sys.executable, "-m", "bench.batch", *options], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    text = document.read_text()
    assert text.index(BEGIN) < text.index(END)
    rows = {cells[0]: cells[1:] for line in text.splitlines() if len(cells := line.strip("| ").split(" | ")) > 2}
    assert all(float(cell.split()[0]) > 0 for cell in rows["before the job, median (worst)"][:2])
    assert all(float(cell.split()[0]) > 0 for cell in rows["after the job, median (worst)"][:2])
    assert len(rows["300 ms"]) == 4  # on a busy machine some connections are missed
    assert all(0 <= float(cell.removesuffix("%")) <= 100 for cell in rows["300 ms"])
