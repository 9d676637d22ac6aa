"""The Debian package: what is in it, and what dpkg makes of it where no service manager runs."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

import ss_pusher
from tests import needs
from tests.packaging.debian import Debian
from tests.system.machine import ROOT

pytestmark = pytest.mark.system

UNITS: Final = {"ss-pusher.service", "ss-pusher@.service", "ss-pusher-once.service", "ss-pusher-once.timer"}
_UNCHECKED_HASH: Final = 0b01  # PEP 552: found by hash, and the source never looked at
PACKAGE: Final = "/root/package.deb"
CONFIG: Final = "remote_write: [{url: 'http://127.0.0.1:9/'}]\n"


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files, and its control files in DEBIAN."""
    directory = tmp_path_factory.mktemp("unpacked")
    subprocess.run([needs.command("dpkg-deb"), "--raw-extract", package, directory], check=True)
    return directory


def field(unpacked: Path, name: str) -> str:
    """A field of the package's description."""
    found = re.search(rf"^{name}: (.*)$", (unpacked / "DEBIAN/control").read_text(), re.MULTILINE)
    assert found, name
    return found[1]


def site_packages(unpacked: Path) -> Path:
    """Where the libraries are."""
    (directory,) = unpacked.glob("opt/ss-pusher/lib/python3.*/site-packages")
    return directory


def install(base: Debian, package: Path) -> str:
    """Install it, and return what dpkg said."""
    shutil.copy(package, base.root / PACKAGE.lstrip("/"))
    said = base.run("dpkg", "--install", PACKAGE)
    base.run("rm", PACKAGE)
    return said


# ---- what is in it --------------------------------------------------------------------------------------------------


def test_it_needs_the_python_that_its_libraries_were_made_for(unpacked: Path) -> None:
    minor = int(site_packages(unpacked).parent.name.removeprefix("python3."))
    depends = field(unpacked, "Depends").split(", ")
    assert depends[:2] == [f"python3 (>= 3.{minor})", f"python3 (<< 3.{minor + 1})"]
    assert "libc6" in {text.split()[0] for text in depends}
    assert (unpacked / "opt/ss-pusher/bin/python3").readlink() == Path("/usr/bin/python3")
    assert field(unpacked, "Version") == ss_pusher.__version__


def test_units_examples_and_documents_are_where_debian_has_them(unpacked: Path) -> None:
    assert {file.name for file in (unpacked / "lib/systemd/system").iterdir()} == UNITS
    for unit in UNITS:
        assert (unpacked / "lib/systemd/system" / unit).read_bytes() == (ROOT / "systemd" / unit).read_bytes()
    documents = unpacked / "usr/share/doc/ss-pusher"
    examples = {file.name for file in (documents / "examples").iterdir()}
    assert examples == {"config.sample.yml", *(file.name for file in (ROOT / "systemd").glob("*.conf"))}
    assert {"README.md", "copyright", "changelog.gz", "docs"} <= {file.name for file in documents.iterdir()}
    assert (unpacked / "usr/share/man/man1/ss-pusher.1.gz").is_file()


def test_no_file_names_the_directory_where_it_was_built(unpacked: Path) -> None:
    files = [file for file in unpacked.rglob("*") if file.is_file() and not file.is_symlink()]
    foreign = [str(ROOT).encode(), b"debian/ss-pusher/opt"]
    assert [file for file in files if any(text in file.read_bytes() for text in foreign)] == []
    assert [link for link in unpacked.rglob("*") if link.is_symlink() and "debian" in str(link.readlink())] == []


def test_only_our_own_command_is_in_it_and_no_installer(unpacked: Path) -> None:
    links = {"python", "python3", f"python{site_packages(unpacked).parent.name.removeprefix('python')}"}
    assert {file.name for file in (unpacked / "opt/ss-pusher/bin").iterdir()} == {"ss-pusher", *links}
    assert not {"pip", "setuptools", "hatchling"} & {file.name for file in site_packages(unpacked).iterdir()}


def test_the_libraries_are_those_of_the_lock_file(unpacked: Path) -> None:
    found = {file.name.removesuffix(".dist-info") for file in site_packages(unpacked).glob("*.dist-info")}
    text = (ROOT / "requirements.lock").read_text()
    pinned = {
        name.replace("-", "_") + f"-{version}" for name, version in re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE)
    }
    assert {name.lower() for name in found} - {f"ss_pusher-{ss_pusher.__version__}"} <= pinned


def test_there_is_bytecode_of_every_module_that_is_never_written_anew(unpacked: Path) -> None:
    for module in site_packages(unpacked).rglob("*.py"):
        (bytecode,) = (module.parent / "__pycache__").glob(f"{module.stem}.cpython-3??.pyc")
        with bytecode.open("rb") as file:
            assert int.from_bytes(file.read(8)[4:], "little") == _UNCHECKED_HASH, bytecode


# ---- what dpkg makes of it ------------------------------------------------------------------------------------------


def test_it_runs_where_it_was_installed(base: Debian, package: Path) -> None:
    assert "ss-pusher sample-config > /etc/ss-pusher/config.yml" in install(base, package)
    assert base.run("ss-pusher", "version") == f"ss_pusher {ss_pusher.__version__}\n"
    base.run("sh", "-c", "ss-pusher sample-config > /etc/ss-pusher/config.yml")
    assert "can be used" in base.run(
        "setpriv", "--reuid=12345", "ss-pusher", "check-config", "/etc/ss-pusher/config.yml"
    )
    assert base.run("readlink", "-f", "/etc/systemd/system/multi-user.target.wants/ss-pusher.service") == (
        "/usr/lib/systemd/system/ss-pusher.service\n"
    )
    assert [name for name in base.files() if name.startswith("/etc/systemd/system/") and "once" in name] == []
    assert (base.root / "etc/ss-pusher/secrets").stat().st_mode & 0o777 == 0o700


def test_neither_the_callers_directory_nor_its_environment_adds_modules(base: Debian, package: Path) -> None:
    install(base, package)
    (base.root / "tmp/numpy.py").write_text("raise SystemExit('not this one')")
    (base.root / "tmp/ss_pusher.py").write_text("raise SystemExit('nor this one')")
    said = base.run(
        "sh", "-c", "cd /tmp && PYTHONPATH=/tmp ss-pusher sample-config | PYTHONPATH=/tmp ss-pusher version"
    )
    assert said == f"ss_pusher {ss_pusher.__version__}\n"


def test_using_it_writes_nothing_beside_it(base: Debian, package: Path) -> None:
    install(base, package)
    before = base.files()
    base.run("ss-pusher", "demo")
    assert base.files() == before
    assert base.run("dpkg", "--verify", "ss-pusher") == ""


def test_another_installation_keeps_the_configuration(base: Debian, package: Path) -> None:
    install(base, package)
    for name, text in itertools.product(["config", "other"], [CONFIG]):
        (base.root / f"etc/ss-pusher/{name}.yml").write_text(text)
    (base.root / "etc/ss-pusher/secrets/push").write_text("secret")
    before = base.files()
    assert "sample-config" not in install(base, package)  # it is configured
    assert base.files() == before
    base.run("dpkg", "--remove", "ss-pusher")
    assert not (base.root / "opt/ss-pusher").exists()
    assert (base.root / "etc/ss-pusher/config.yml").read_text() == CONFIG
    assert (base.root / "etc/ss-pusher/secrets/push").read_text() == "secret"
    install(base, package)
    assert base.files() == before


def test_a_purge_leaves_nothing(base: Debian, package: Path) -> None:
    before = base.files()
    install(base, package)
    for path in (
        "etc/ss-pusher/config.yml",
        "etc/ss-pusher/secrets/push",
        "etc/systemd/system/ss-pusher.service.d/user-names.conf",
        "etc/systemd/system/ss-pusher@other.service.d/user-names.conf",
        "etc/systemd/system.control/ss-pusher.service.d/50-MemoryMax.conf",
        "etc/systemd/system.control/ss-pusher@other.service.d/50-MemoryMax.conf",
        "etc/systemd/system.control/ss-pusher-once.service.d/50-MemoryMax.conf",
        "opt/ss-pusher/lib/left.pyc",
        "var/lib/private/ss-pusher/spool/1",
        "var/lib/private/ss-pusher@other/spool/1",
        "var/lib/private/ss-pusher-once/1",
    ):
        file = base.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("left over")
    for name in ("ss-pusher", "ss-pusher@other", "ss-pusher-once"):
        (base.root / "var/lib" / name).symlink_to(f"private/{name}")
    base.run("systemctl", "enable", "ss-pusher@other.service", "ss-pusher-once.timer")
    base.run("systemctl", "mask", "ss-pusher@foo.service", "ss-pusher-once.service")
    base.run("dpkg", "--purge", "ss-pusher")
    after = base.files()
    assert before - after <= {"/opt"}  # dpkg takes it along where it is empty
    # systemd's own, for the state and the properties of all services
    assert after - before <= {"/var/lib/private", "/etc/systemd/system.control"}
