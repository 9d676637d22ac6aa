"""The benchmark of names and filters runs, and measures every part on the sockets that it opened."""

import subprocess
import sys
from pathlib import Path

from bench.naming import BEGIN, END


def test_one_run_measures_names_and_filters(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    command = [sys.executable, "-m", "bench.naming", "--sockets=100,400", "--rounds=1", f"--output={document}"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    text = document.read_text()
    assert text.index(BEGIN) < text.index(END)
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == 4
    assert all(float(measured.split()[0]) >= 0 for _, measured, _ in rows)
    assert "of 450 sockets" in rows[2][0]  # 400, and the 50 that listen
    assert "lets 54 through" in rows[3][0]  # 1 %, and those that listen
