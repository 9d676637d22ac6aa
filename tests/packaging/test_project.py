"""What a user installs is whole, and starting it is cheap."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import ss_pusher

ROOT = Path(__file__).parent.parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {"protobuf": "google", "python-snappy": "snappy", "pyyaml": "yaml"}


def sources() -> Iterator[Path]:
    """The package's own modules; generated ones are not ours to judge."""
    return (path for path in (ROOT / "ss_pusher").rglob("*.py") if not path.name.endswith("_pb2.py"))


def imports(path: Path) -> set[str]:
    """The top-level names of all that a module imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in plain | named}


def declared(*extras: str) -> set[str]:
    """The names under which the declared dependencies are imported."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    names = {re.split(r"[^A-Za-z0-9_.-]", dependency)[0].lower() for dependency in texts}
    return {IMPORTED_AS.get(name, name) for name in names}


def test_the_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="ss-pusher")
    assert command.load().__module__ == "ss_pusher.cli"


def test_every_import_is_a_declared_dependency() -> None:
    used = {name for path in sources() for name in imports(path)} - set(sys.stdlib_module_names) - {"ss_pusher"}
    assert used <= declared("expose")


@pytest.mark.parametrize("name", [module.name for module in pkgutil.walk_packages(ss_pusher.__path__, "ss_pusher.")])
def test_every_module_can_be_imported(name: str) -> None:
    if not name.endswith("__main__"):
        importlib.import_module(name)


def test_starting_the_command_pays_for_no_library_that_it_may_not_need() -> None:
    program = "import sys, ss_pusher.cli; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    loaded = {name.partition(".")[0] for name in output.split()}
    assert loaded & declared("expose") == set()


def test_the_agent_does_not_pay_for_pyroute2() -> None:
    program = "import sys, ss_pusher.app.build; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "pyroute2" not in output.split()


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()


def test_the_debian_package_has_the_same_version() -> None:
    first_line = (ROOT / "debian/changelog").read_text().splitlines()[0]
    assert first_line.startswith(f"ss-pusher ({ss_pusher.__version__}) ")
