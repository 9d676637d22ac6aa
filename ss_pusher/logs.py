"""Logs to stderr: text for people and the journal, JSON for machines."""

import json
import logging
import os
import sys
from typing import Final

# Prefixes by which the journal knows a line's level: sd-daemon(3).
_JOURNAL: Final = {logging.DEBUG: "<7>", logging.INFO: "<6>", logging.WARNING: "<4>", logging.ERROR: "<3>"}


class _Text(logging.Formatter):
    """One line a record: whatever a server or a process name put into it, it cannot begin another."""

    def __init__(self, *, journal: bool) -> None:
        # The journal notes the time by itself.
        super().__init__("%(levelname)s %(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        prefix = _JOURNAL.get(record.levelno, "") if self._journal else ""
        return prefix + _one_line(super().format(record))


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up(form: str, level: str) -> None:
    """Send the records of this process to stderr, from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text(journal=_is_journal()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its warnings of each failed connection say again what ours say once.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _is_journal() -> bool:
    """Whether stderr goes to the journal, by systemd.exec(5): programs started by a service inherit the variable."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError):  # closed, or no file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "\\n" if c == "\n" else f"\\x{ord(c):02x}" for c in text)
