"""Data flows one way: a stage knows the types that travel, and no other stage."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "ss_pusher"

FOUNDATION = {
    "model",
    "errors",
    "telemetry",
    "files",
    "addresses",
    "buckets",
    "patterns",
    "proto",
    "ratelimit",
    "__version__",
}
COMPOSITION = {"app", "cli", "demo", "preview", "config", "__init__", "__main__"}  # these put stages together
TOLD = {
    "snapshot": {"accounts", "group", "metrics"},  # turns what these left behind into what is exported
    "loop": {"clock"},  # gives each tick its time
}


def room(path: Path) -> str:
    """The stage that a module belongs to: its first step below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms of the package that a module imports from, wherever in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "ss_pusher":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ss_pusher."):
            rooms.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("ss_pusher.")}
    return rooms


def modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if not path.name.endswith("_pb2.py")]


def test_a_stage_imports_no_other_stage() -> None:
    reaches = {
        str(path.relative_to(PACKAGE)): sorted(others)
        for path in modules()
        if room(path) not in COMPOSITION
        and (others := imported_rooms(path) - FOUNDATION - TOLD.get(room(path), set()) - {room(path)})
    }
    assert reaches == {}


def test_the_types_that_travel_import_nothing_of_ours() -> None:
    assert {each for path in (PACKAGE / "model").glob("*.py") for each in imported_rooms(path)} == {"model"}


def test_relative_imports_hide_no_direction() -> None:
    relative = [
        str(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []
