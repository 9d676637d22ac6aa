"""The benchmark of the encoders runs, and fills its table."""

import subprocess
import sys
from pathlib import Path


def test_one_run_measures_both_versions(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.encoders", "--output", str(tmp_path / "performance.md")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("|")][2:]
    assert [row[0] for row in rows] == ["1.0", "2.0", "1.0, random values", "2.0, random values"]
    for _, *cells in rows:
        assert len(cells) == 4
        assert all(float(cell) > 0 for cell in cells)
