"""What the tests need of the machine beyond Python, and what becomes of a test when it is not there."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Servers unpacked by `make test`; and where Debian keeps root's commands, which are not in everyone's PATH.
_MORE_PATH = [Path(__file__).parent.parent / ".servers/usr/bin", Path("/usr/sbin"), Path("/sbin")]


def unavailable(reason: str) -> NoReturn:
    """Skip the running test; on a CI machine everything must be there, so fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def command(name: str) -> str:
    """The path of an installed command, or the test does not run."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, _MORE_PATH)])
    return shutil.which(name, path=path) or unavailable(f"{name} is not installed; `make test` gets it where it can")


def root() -> None:
    """Root's rights, or the test does not run."""
    if os.geteuid() != 0:
        unavailable("needs root, for network namespaces")
