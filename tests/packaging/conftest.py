"""Fixtures for what users install."""

from collections.abc import Iterator

import pytest

from tests.packaging.debian import Debian, debian
from tests.system.conftest import package  # noqa: F401 - the fixture


@pytest.fixture
def base() -> Iterator[Debian]:
    """A small Debian that nobody else writes to."""
    with debian() as root:
        yield root
