"""What goes to a server and what comes back, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
