"""What goes to a server and what comes back, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. `url` holds no credentials; `headers` none that the client sets itself."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer. Header names are in lower case; `text` is the beginning of `body`, cleaned for a log."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Failure:
    """There was no answer: no name, no connection, no handshake, or not in time. `words` say which."""

    words: str


Outcome: TypeAlias = Answer | Failure


def http_date(text: str) -> float | None:
    """A date as HTTP writes it (RFC 9110, section 5.6.7), as Unix time in seconds; None for what is none."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):  # hostile dates reach every corner of that parser
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
