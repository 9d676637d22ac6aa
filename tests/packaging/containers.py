"""Images and containers with a storage of their own: buildah makes them, podman runs them."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests import needs
from tests.command import PATIENCE
from tests.system.machine import BASE, ROOT
from tests.waiting import wait_for

IMAGE: Final = "localhost/ss-pusher"
_BASE_IMAGE: Final = "localhost/debian-base"
_BUILD_DEADLINE: Final = 300.0
_CERTIFICATES: Final = "/etc/ssl/certs"
# Podman would raise the limits to the kernel's, for which root lacks the right where it is in a container itself.
_LIMITS: Final = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


@dataclass(frozen=True)
class Container:
    """`process` is its process 1, as this machine numbers processes."""

    process: int
    podman: subprocess.Popen[bytes]
    log: Path

    def logged(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until it is true; if it never is, say what the container wrote."""
        try:
            wait_for(lambda: bool(condition()), what, PATIENCE)
        except TimeoutError as error:
            error.add_note(self.logged())
            raise

    def stop(self, number: signal.Signals) -> int:
        """Send process 1 a signal, and return the exit code."""
        os.kill(self.process, number)
        return self.podman.wait(PATIENCE)


@dataclass(frozen=True)
class Containers:
    """The storage, by the environment that leads buildah and podman to it."""

    directory: Path
    environment: Mapping[str, str]

    def call(self, *argv: str) -> str:
        """Run a tool, and return what it printed; CalledProcessError, with stderr, if it fails."""
        done = subprocess.run(
            [needs.command(argv[0]), *argv[1:]],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_BUILD_DEADLINE,
            check=False,
        )
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stdout + done.stderr)
            raise
        return done.stdout

    def build(self) -> None:
        """`make image`, on the base system as the base image."""
        needs.root()
        if not BASE.is_dir():
            needs.unavailable("no base system in .system/base; `make test-system` makes it where it can")
        container = self.call("buildah", "from", "scratch").strip()
        self.call("buildah", "add", "--quiet", container, str(BASE), "/")
        self.call("buildah", "commit", "--quiet", "--rm", container, _BASE_IMAGE)
        # The build trusts whom this machine trusts: a proxy on the way to the packages may be among these.
        trust = f"--volume {_CERTIFICATES}:{_CERTIFICATES}:ro"
        self.call("make", "image", f"ARGS=--isolation chroot {trust} --build-arg BASE={_BASE_IMAGE}")

    def inspect(self) -> dict[str, Any]:
        """The image's configuration."""
        (image,) = json.loads(self.call("podman", "image", "inspect", IMAGE))
        config: dict[str, Any] = image["Config"]
        return config

    def arguments(self, *options: str) -> list[str]:
        """How a container is run: as the README says, and with nothing that it does not need."""
        return [
            needs.command("podman"),
            f"--runtime={needs.command('runc')}",
            "--cgroup-manager=cgroupfs",
            "run",
            "--rm",
            *_LIMITS,
            "--network=host",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            "--read-only",
            *options,
            IMAGE,
        ]

    def run(self, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a container to its end."""
        return subprocess.run(
            [*self.arguments(*options), *command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @contextmanager
    def running(self, *options: str) -> Iterator[Container]:
        """Start a container, and kill it in the end if it still runs."""
        pid_file, log = self.directory / "container.pid", self.directory / "container.log"
        pid_file.unlink(missing_ok=True)
        with log.open("wb") as output:
            podman = subprocess.Popen(
                self.arguments(f"--conmon-pidfile={self.directory / 'conmon.pid'}", f"--pidfile={pid_file}", *options),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(lambda: pid_file.exists() and pid_file.read_text(), "the container runs", PATIENCE)
            yield Container(int(pid_file.read_text()), podman, log)
        finally:
            if podman.poll() is None:
                os.kill(int(pid_file.read_text()), signal.SIGKILL)
            podman.wait(PATIENCE)


@contextmanager
def containers(directory: Path) -> Iterator[Containers]:
    """An empty storage; all that is in it is gone in the end."""
    configuration = directory / "storage.conf"
    settings = {"driver": "overlay", "graphroot": str(directory / "storage"), "runroot": str(directory / "run")}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    configuration.write_text("\n".join(["[storage]", *lines, ""]))
    path = os.environ.get("PATH", os.defpath)
    environment = {"PATH": path, "HOME": str(directory), "CONTAINERS_STORAGE_CONF": str(configuration)}
    try:
        yield Containers(directory, environment)
    finally:
        overlay = directory / "storage/overlay"
        subprocess.run(["umount", "--quiet", overlay], check=False)  # a mount on itself, which the tools leave
        shutil.rmtree(directory)
