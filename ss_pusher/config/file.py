"""The bytes of a file, and how a remark on a place in it is told."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ss_pusher.config.convert import Remark
from ss_pusher.config.document import MAX_BYTES
from ss_pusher.config.section import Steps
from ss_pusher.errors import ConfigError
from ss_pusher.files import read_file

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_.$-]+")


def read(path: Path) -> tuple[bytes, int]:
    """The file's bytes and its mode. Raises ConfigError."""
    try:
        return read_file(path, MAX_BYTES)
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: {unreadable(error)}"]) from None


def unreadable(error: OSError | ValueError) -> str:
    """Why a file cannot be read, after its name."""
    if isinstance(error, PermissionError):
        return "may not be read by this user"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def told(name: str, remarks: Iterable[Remark]) -> list[str]:
    """Remarks on the file `name` with their places, as a user reads them, from its top to its end."""
    return [described(name, remark) for remark in sorted(remarks, key=lambda remark: remark.line)]


def described(name: str, remark: Remark) -> str:
    """A remark on the file `name` with its place, as a user reads it."""
    place = _dotted(remark.steps)
    return f"{name}:{remark.line}: {place}: {remark.text}" if place else f"{name}:{remark.line}: {remark.text}"


def _dotted(steps: Steps) -> str:
    """The way to a value as people write it: remote_write[0].queue_config.max_backoff."""
    parts = []
    for step in steps:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            parts.append(f".{step}" if _PLAIN_KEY.fullmatch(step[:100]) else f"[{step[:60]!r}]")
    return "".join(parts).removeprefix(".")
