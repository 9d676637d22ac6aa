"""The agent as it runs, at rest: few flows, pushing to a receiver of our own."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.readers import peak_memory

TICKS: Final = 5
_COMMAND: Final = str(Path(sys.executable).parent / "ss-pusher")
_STOP_DEADLINE: Final = 10.0


def agent_memory() -> int:
    """The peak memory of `ss-pusher agent`, in bytes, after some ticks."""
    address = "127.0.0.1:9099"
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "config.yml"
        config.write_text(
            f"interval: 1s\ncollect: {{loopback: true}}\nremote_write: [{{url: 'http://{address}/api/v1/write'}}]\n",
            encoding="utf-8",
        )
        with _running("receive", "--listen", address) as receiver, _running("agent", "--config", str(config)) as agent:
            time.sleep(TICKS)
            for process in (receiver, agent):
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
            return peak_memory(agent.pid)


@contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([_COMMAND, *arguments, "--log-level", "error"], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_STOP_DEADLINE)
