"""How a rule's patterns match names: in one place, because the rules are applied in the kernel and again after it."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

_FULL_ID: Final = re.compile(r"([0-9a-f]{12})[0-9a-f]{52}")
"""A container's id as its runtime prints it in full; the label has its first digits."""


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether any of `patterns` (those of fnmatch) is this name. A name that is not known matches none."""
    return bool(name) and any(_match(name, pattern) for pattern in patterns)


def _match(name: str, pattern: str) -> bool:
    full = _FULL_ID.fullmatch(pattern)
    return fnmatchcase(name, full[1] if full else pattern) or name == pattern
