"""Files that every user of this host may read or replace."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from ss_pusher.config.convert import Walk, Written
from ss_pusher.config.secret import Url
from ss_pusher.config.values import HEADER_VALUE, SECRET, SECRET_FILE, WEB_CONFIG

_SECRET_NAME: Final = re.compile("auth|cookie|key|password|secret|token", re.IGNORECASE)
"""What the name of a header, or of a parameter in a URL, has in it when its value is likely to be a secret."""
_RIGHT: Final = "; chmod 600 would be right, or systemd's LoadCredential="
_RIGHT_IN_THE_OPEN: Final = "; chmod o-w would be right"


def warn_of_exposed_files(walk: Walk) -> None:
    """Warn once of each file of a secret that is not only its owner's and group's matter."""
    warned: set[Path] = set()
    for written in walk.written:
        path = written.value
        if written.kind in (SECRET_FILE, WEB_CONFIG) and path and path not in warned and (found := exposure(path)):
            warned.add(path)
            walk.warning(written.steps, found)


def warn_of_readable_secrets(walk: Walk) -> None:
    """Warn of each secret that stands in a configuration itself, which every user may read."""
    for written in walk.written:
        if _is_secret(written) and "${" not in written.raw:
            walk.warning(
                written.steps, "holds a secret, and every user may read this file; use a file of its own, or chmod o-r"
            )


def _is_secret(written: Written) -> bool:
    if isinstance(url := written.value, Url):
        parameters = parse_qsl(url.split().query)
        return url.has_credentials() or any(_SECRET_NAME.search(name) for name, _ in parameters)
    named = written.kind is HEADER_VALUE and _SECRET_NAME.search(str(written.steps[-1])) is not None
    return named or written.kind is SECRET


def exposure(path: Path, *, in_the_open: bool = False) -> str:
    """What every user may do with a file, and what would be right; empty when that is nothing.

    What is `in_the_open` may be read by all. A file that cannot be seen, or that lies where others cannot go, is no
    matter. Access lists are not looked at: they show in the mode of the group.
    """
    try:
        absolute, real = path.absolute(), path.resolve(strict=True)
        mode = real.stat().st_mode
        open_to_all = all(directory.stat().st_mode & stat.S_IXOTH for directory in real.parents)
        replaceable = next(_open_for_writing({*absolute.parents, *real.parents}), None)
    except (OSError, RuntimeError):  # RuntimeError: symbolic links in a circle
        return ""
    feared = {"read": 0 if in_the_open else stat.S_IROTH, "changed": stat.S_IWOTH}
    may = [what for what, bit in feared.items() if mode & bit and open_to_all]
    right = _RIGHT_IN_THE_OPEN if in_the_open else _RIGHT
    if may:
        return f"every user may have {path} {' and '.join(may)} (its mode is {stat.S_IMODE(mode):04o}){right}"
    if replaceable:
        return f"every user may put another file in the place of {path}, since {replaceable} is open to all{right}"
    return ""


def _open_for_writing(directories: set[Path]) -> Iterator[Path]:
    """Those where everyone may rename what is not theirs: the sticky bit, as on /tmp, forbids that."""
    for directory in sorted(directories):
        mode = directory.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield directory
