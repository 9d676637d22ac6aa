"""The last snapshot, written for whoever asks for it."""

import gzip
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from ss_pusher.model import Snapshot
from ss_pusher.send.expose.negotiation import media_type, takes_gzip

_STALE_TICKS: Final = 3
"""After so many intervals without a tick the agent is not healthy any more."""
_COMPRESSION: Final = 1  # the text of a snapshot repeats itself so much that more effort gains little


class Format(NamedTuple):
    """How a snapshot is written for those who accept `media_type` with the parameters of one of these variants."""

    media_type: str
    variants: tuple[Mapping[str, str], ...]
    write: Callable[[Snapshot], bytes]


class Answer(NamedTuple):
    """Status, headers and body."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes


class Exposition:
    """Keeps the last snapshot and answers requests for it. Safe from any thread.

    Of the `formats` that a client wants equally the first is taken; the last one is for everybody else. `monotonic`
    gives seconds. A snapshot is written once for each format, however often it is asked for.
    """

    def __init__(self, formats: tuple[Format, ...], interval: float, monotonic: Callable[[], float]) -> None:
        self._offers: Final = [(format_, variant) for format_ in formats for variant in format_.variants]
        self._interval: Final = interval
        self._monotonic: Final = monotonic
        self._latest: tuple[Snapshot, float] | None = None
        self._written: dict[tuple[str, bool], bytes] = {}
        self._lock: Final = threading.Lock()

    def show(self, snapshot: Snapshot) -> None:
        """From now on answer with this one."""
        with self._lock:
            self._latest = snapshot, self._monotonic()
            self._written = {}

    def answer(self, path: str, accept: str, accept_encoding: str) -> Answer:
        """The answer to a GET."""
        if path == "/metrics":
            return self._metrics(accept, accept_encoding)
        return self._health() if path == "/health" else plain(HTTPStatus.NOT_FOUND, "there are /metrics and /health")

    def _metrics(self, accept: str, accept_encoding: str) -> Answer:
        offers = [(format_.media_type, variant) for format_, variant in self._offers]
        format_, variant = self._offers[media_type(accept, offers)]
        compressed = takes_gzip(accept_encoding)
        with self._lock:
            if self._latest is None:
                return _nothing_yet()
            body = self._body(format_, self._latest[0], compressed=compressed)
        headers = {
            "Content-Type": "; ".join([format_.media_type, *(f"{name}={value}" for name, value in variant.items())]),
            "Vary": "Accept, Accept-Encoding",
        }
        return Answer(HTTPStatus.OK, headers | ({"Content-Encoding": "gzip"} if compressed else {}), body)

    def _body(self, format_: Format, snapshot: Snapshot, *, compressed: bool) -> bytes:
        key = format_.media_type, compressed
        if key not in self._written:
            self._written[key] = (
                gzip.compress(self._body(format_, snapshot, compressed=False), _COMPRESSION)
                if compressed
                else format_.write(snapshot)
            )
        return self._written[key]

    def _health(self) -> Answer:
        with self._lock:
            latest = self._latest
        if latest is None:
            return _nothing_yet()
        age = self._monotonic() - latest[1]
        if age > _STALE_TICKS * self._interval:
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, f"the last tick that succeeded was {age:.0f} s ago")
        return plain(HTTPStatus.OK, "ok")


def plain(status: HTTPStatus, text: str, **headers: str) -> Answer:
    """A line of text; in the names of headers _ stands for -."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8", **more}, f"{text}\n".encode())


def _nothing_yet() -> Answer:
    return plain(HTTPStatus.SERVICE_UNAVAILABLE, "no tick has succeeded yet")
