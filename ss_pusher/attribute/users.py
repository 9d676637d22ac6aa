"""The names of users, from /etc/passwd alone: a directory service would have to be asked over the network."""

import os
from pathlib import Path


class Users:
    """User names by number; read again when the file changed."""

    def __init__(self, root: Path) -> None:
        self._path = root / "etc/passwd"
        self._changed_ns = -1
        self._names: dict[int, str] = {}

    def refresh(self) -> None:
        """Read the file if it changed since it was read last."""
        try:
            changed_ns = os.stat(self._path).st_mtime_ns  # noqa: PTH116 - the bare call, once a tick
            if changed_ns != self._changed_ns:
                self._names = _parse(self._path.read_text(errors="replace"))
                self._changed_ns = changed_ns
        except OSError:
            self._names = {}

    def name(self, uid: int) -> str:
        """The user's name, or the number where the file has none."""
        return self._names.get(uid) or str(uid)


def _parse(text: str) -> dict[int, str]:
    """passwd(5). Of several names for one number the first counts, as for getpwuid(3)."""
    fields = [line.split(":") for line in text.splitlines()]
    numbered = [entry for entry in fields if len(entry) > 2 and entry[2].isdecimal()]  # noqa: PLR2004 - name:x:number:…
    return {int(entry[2]): entry[0] for entry in reversed(numbered)}
