"""The installed command as a user starts it: a process, its output, its exit code."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tests import needs
from tests.waiting import wait_for

T = TypeVar("T")

EXECUTABLE: Final = str(Path(sys.executable).with_name("ss-pusher"))
PATIENCE: Final = 30.0
ENVIRONMENT: Final = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOSTNAME": "edge-7"}


def run(
    *arguments: str, stdin: str = "", prefix: Sequence[str] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*prefix, EXECUTABLE, *arguments],
        env={**ENVIRONMENT, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@dataclass(frozen=True)
class Running:
    """A command that goes on until it is told to end."""

    process: subprocess.Popen[bytes]
    output: Path
    log: Path

    def said(self) -> str:
        """What stands on stdout so far."""
        return self.output.read_text()

    def logged(self) -> str:
        """What stands on stderr so far."""
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], T], what: str) -> T:
        """Wait until the answer is true, and return it; fail at once when the command has ended."""

        def ask() -> T:
            answer = condition()
            assert answer or self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.logged()}"
            return answer

        return wait_for(ask, what, PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def running(
    directory: Path, *arguments: str, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Start the command, and kill it in the end if it still runs."""
    output, log = directory / "stdout", directory / "stderr"
    with output.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [*prefix, EXECUTABLE, *arguments],
            env={**ENVIRONMENT, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        yield Running(process, output, log)
    finally:
        process.kill()
        process.wait()


def written(directory: Path, text: str) -> str:
    """The path of a configuration file with this text, which only its owner may read."""
    file = directory / "config.yml"
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")
    return str(file)


def nobody() -> list[str]:
    """The start of an argument list that runs the rest without any privilege; nothing where the tests have none."""
    if os.geteuid() != 0:
        return []
    sets = ("inh-caps", "ambient-caps", "bounding-set")
    user = [needs.command("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    for kept in ("", ",+dac_read_search"):
        # An interpreter in somebody's home directory is found only with the second: it lets files be read, no more.
        prefix = [*user, *(f"--{name}=-all{kept}" for name in sets), "--"]
        if subprocess.run([*prefix, EXECUTABLE, "version"], capture_output=True, check=False).returncode == 0:
            return prefix
    return needs.unavailable("nobody may read this project, nor the interpreter")
