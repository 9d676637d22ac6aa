"""What pip and pipx make of the project, away from its directory."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

import ss_pusher
from tests.system.machine import ROOT

pytestmark = pytest.mark.system


class Built(NamedTuple):
    """Where the tools are, and what they built."""

    tools: Path
    wheel: Path
    sdist: Path


def call(directory: Path, *command: str | Path, **environment: str) -> str:
    """Run a command there, without what this process's environment says to Python; what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=directory, env=inherited | environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel and the sdist, by the locked version of what builds them."""
    directory = tmp_path_factory.mktemp("built")
    tools = directory / "tools"
    call(directory, sys.executable, "-m", "venv", tools)
    call(directory, tools / "bin/pip", "install", "--require-hashes", "-r", ROOT / "requirements-build.lock")
    call(ROOT, tools / "bin/hatchling", "build", "--directory", directory / "dist")
    (wheel,) = (directory / "dist").glob("*.whl")
    (sdist,) = (directory / "dist").glob("*.tar.gz")
    return Built(tools, wheel, sdist)


def modules() -> Iterator[str]:
    """The package's files, as they must stand in a wheel."""
    for file in (ROOT / "ss_pusher").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield str(file.relative_to(ROOT))


def test_the_wheel_holds_the_package_with_its_types_and_nothing_else(built: Built) -> None:
    names = set(ZipFile(built.wheel).namelist())
    assert "ss_pusher/py.typed" in names
    metadata = f"ss_pusher-{ss_pusher.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(metadata)} == set(modules())
    assert f"{metadata}licenses/LICENSE" in names


def test_the_source_distribution_is_enough_to_build_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("Makefile", "Dockerfile", "debian/rules", "package/virtualenv", "requirements.lock", "systemd"):
        assert (source / name).exists(), name
    call(source, built.tools / "bin/hatchling", "build", "--target", "wheel", "--directory", tmp_path / "dist")
    (again,) = (tmp_path / "dist").iterdir()
    assert again.read_bytes() == built.wheel.read_bytes()


def test_pipx_installs_a_command_that_works_anywhere(built: Built, tmp_path: Path) -> None:
    call(tmp_path, built.tools / "bin/pip", "install", "pipx")
    home = {"HOME": str(tmp_path), "PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    call(ROOT, built.tools / "bin/pipx", "install", ".", **home)
    command = tmp_path / "bin/ss-pusher"
    assert call(tmp_path, command, "version") == f"ss_pusher {ss_pusher.__version__}\n"
    assert call(tmp_path, command, "sample-config") == (ROOT / "config.sample.yml").read_text()
    assert "This host, as it arrived by remote write" in call(tmp_path, command, "demo")
    python = tmp_path / "pipx/venvs/ss-pusher/bin/python"
    where = call(tmp_path, python, "-c", "import ss_pusher; print(ss_pusher.__file__)")
    assert Path(where.strip()).is_relative_to(tmp_path)
