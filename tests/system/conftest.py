"""Machines with the package in them, and servers on the other end of their cable."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hosts, needs
from tests.system.machine import ROOT, Machine, booted
from tests.system.site import Site, at_a_site


@pytest.fixture(scope="session")
def package() -> Path:
    """What `make deb` built last."""
    built = sorted((ROOT / "dist").glob("ss-pusher_*.deb"), key=lambda deb: deb.stat().st_mtime)
    return built[-1] if built else needs.unavailable("no package in dist; `make test-system` builds it")


@pytest.fixture(scope="session")
def installed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A layer for machines: the package, as dpkg installed it."""
    directory = tmp_path_factory.mktemp("installed")
    with hosts.single() as host, booted(host, directory) as machine:
        machine.install(package)
        machine.save(directory / "layer")
    yield directory / "layer"
    shutil.rmtree(directory / "layer")


@pytest.fixture
def machine(host: hosts.Host, tmp_path: Path, installed: Path) -> Iterator[Machine]:
    """A machine with the package, and without a cable."""
    with booted(host, tmp_path, installed) as machine:
        yield machine


@pytest.fixture
def site(host_pair: tuple[hosts.Host, hosts.Host], tmp_path: Path, installed: Path) -> Iterator[Site]:
    """A machine with the package, and servers at the other end of its cable."""
    with at_a_site(*host_pair, tmp_path, installed) as site:
        yield site
