"""The agent at rest is measured, and what it costs is written down."""

import re
import subprocess
import sys
from pathlib import Path

from bench import at_rest


def test_one_run_measures_the_agent_as_it_is_started(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    command = [sys.executable, "-m", "bench.at_rest", "--interval=1", "--ticks=1", f"--output={document}"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    text = document.read_text()
    assert text.index(at_rest.BEGIN) < text.index(at_rest.END)
    (cpu,) = re.findall(r"a tick \| ([0-9.]+) ms \|", text)
    (memory,) = re.findall(r"peak memory \| ([0-9]+) MiB \|", text)
    (samples,) = re.findall(r"bytes \| ([0-9,]+), [0-9,]+ \|", text)
    assert float(cpu) > 0
    assert int(memory) > 0
    assert int(samples.replace(",", "")) > 100
