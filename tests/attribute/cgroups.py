"""Real cgroups for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ss_pusher.attribute.cgroup import mount_point
from tests import needs


@contextmanager
def new_cgroup(name: str, parent: Path | None = None) -> Iterator[Path]:
    """A cgroup below `parent`, or below the root of the cgroup2 tree; must be empty at the end."""
    needs.root()
    above = parent or mount_point(Path("/")) or needs.unavailable("no cgroup2 file system is mounted")
    directory = above / name
    try:
        if directory.exists():  # left by a run that was killed
            directory.rmdir()
        directory.mkdir()
    except OSError as error:
        needs.unavailable(f"no cgroup can be made: {error}")
    try:
        yield directory
    finally:
        directory.rmdir()


@contextmanager
def inside(directory: Path) -> Iterator[None]:
    """This process is in the cgroup; the sockets that it opens meanwhile belong there for good."""
    before = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    home = next(line.removeprefix("0::/") for line in before if line.startswith("0::/"))
    _enter(directory)
    try:
        yield
    finally:
        _enter((mount_point(Path("/")) or directory) / home)


def _enter(directory: Path) -> None:
    (directory / "cgroup.procs").write_text("0\n", encoding="ascii")
