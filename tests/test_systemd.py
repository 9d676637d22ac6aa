"""The units are valid, and locked down as far as the documentation says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import needs

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "systemd").glob("*.service"))
DROP_INS = sorted((ROOT / "systemd").glob("*.conf"))
HIGHEST_EXPOSURE = 1.2


def exposure(unit: Path) -> float:
    """What systemd says of a unit file and the drop-ins beside it; 0 is locked, 10 is open."""
    command = [needs.command("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"Overall exposure level for \S+: ([0-9.]+)", report)[0])


def documented() -> dict[str, float]:
    """What docs/service.md says for each drop-in."""
    rows = re.findall(
        r"^\| `?([a-z.-]+)`? \| .* \| ([0-9.]+) \|$", (ROOT / "docs/service.md").read_text(), re.MULTILINE
    )
    return {name: float(score) for name, score in rows}


def systemd_version() -> str:
    first = subprocess.run(
        [needs.command("systemd-analyze"), "--version"], check=True, capture_output=True, text=True
    ).stdout
    return first.split()[1]


def section(unit: Path, heading: str) -> str:
    """The lines of a unit from the comment `heading` to the next empty line."""
    return unit.read_text().split(f"\n# {heading}\n")[1].split("\n\n")[0].strip()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_is_hardly_exposed(unit: Path) -> None:
    assert exposure(unit) <= HIGHEST_EXPOSURE


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_unit_is_locked_down_alike(unit: Path) -> None:
    agent = ROOT / "systemd/ss-pusher.service"
    assert section(unit, "Locked down") == section(agent, "Locked down")
    assert section(unit, "Resources") == section(agent, "Resources")


def test_every_drop_in_is_as_exposed_as_the_documentation_says(tmp_path: Path) -> None:
    if systemd_version() != "252":
        pytest.skip("the documented exposures are those of systemd 252")
    unit = tmp_path / "ss-pusher.service"
    shutil.copy(ROOT / "systemd/ss-pusher.service", unit)
    measured = {"nothing": exposure(unit)}
    for drop_in in DROP_INS:
        directory = tmp_path / "ss-pusher.service.d"
        directory.mkdir()
        shutil.copy(drop_in, directory)
        measured[drop_in.name] = exposure(unit)
        shutil.rmtree(directory)
    assert measured == documented()


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    for source in (ROOT / "systemd").glob("ss-pusher*"):
        # The command is not installed on the machine that tests.
        (tmp_path / source.name).write_text(source.read_text().replace("/usr/bin/ss-pusher", "/bin/true"))
    command = [needs.command("systemd-analyze"), "verify", *map(str, sorted(tmp_path.iterdir()))]
    verified = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
