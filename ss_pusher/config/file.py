"""The bytes of a file, and how a remark on a place in it is told."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ss_pusher.config.convert import Remark
from ss_pusher.config.document import MAX_BYTES
from ss_pusher.config.section import Steps
from ss_pusher.errors import ConfigError

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_.$-]+")


def read(path: Path) -> tuple[bytes, int]:
    """The file's bytes, a little more than allowed at most, and its mode. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except IsADirectoryError:
        raise ConfigError([f"{path}: is a directory; name the file in it"]) from None
    except PermissionError:
        raise ConfigError([f"{path}: may not be read by this user"]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None


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
