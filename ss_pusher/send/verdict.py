"""What an answer means for the data that was sent. Pure.

Sources: Prometheus Remote-Write 1.0 ("Retries & Backoff") and 2.0-rc.4 ("Required Written Response Headers",
"Retries & Backoff"); RFC 9110, section 10.2.3 (Retry-After).
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from ss_pusher.model import Protocol
from ss_pusher.send.exchange import Answer, Failure, Outcome, http_date

MAX_RETRY_AFTER: Final = 300.0
"""Seconds. No server may silence us for longer than this in one answer."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Stored. `written` is how many samples the server says it stored, or None where it does not say."""

    written: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good: to be dropped, counted by `reason`. `written` samples were stored all the same."""

    reason: str
    words: str
    written: int = 0


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now. `after` is how many seconds the server asked us to wait, if it did."""

    words: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Refused for a setting that somebody will mend (a token, an address): kept, and tried again slowly."""

    words: str


@dataclass(frozen=True, slots=True)
class Split:
    """Too large, or refused as a whole while one sample may be at fault: to be sent again in parts.

    `reason` is the label to count by what cannot be split further.
    """

    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class Downgrade:
    """The server does not understand remote write 2.0: to be sent again as 1.0."""

    words: str


Verdict: TypeAlias = Accepted | Rejected | Retry | Held | Split | Downgrade

_REMOTE_WRITE: Final = frozenset({Protocol.REMOTE_WRITE_1, Protocol.REMOTE_WRITE_2})
_WRITTEN_SAMPLES: Final = "x-prometheus-remote-write-samples-written"
_WRITTEN_HISTOGRAMS: Final = "x-prometheus-remote-write-histograms-written"
_WRITTEN_EXEMPLARS: Final = "x-prometheus-remote-write-exemplars-written"
_MENDED_BY_SOMEBODY: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    }
)
_AGAIN_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
# Thanos answers 409 where Prometheus answers 400; some gateways answer 422.
_ONE_MAY_BE_BAD: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_CANNOT_READ_2: Final = re.compile(
    r"content[- ]type|unsupported|not supported|unmarshal|protobuf|proto:|wire ?type|illegal tag|cannot parse",
    re.IGNORECASE,
)


def judge(protocol: Protocol, outcome: Outcome, now: float) -> Verdict:
    """The verdict on a request of this protocol. `now` is Unix time in seconds, for a Retry-After that is a date."""
    if isinstance(outcome, Failure):
        return Retry(outcome.words)
    words = _words(outcome)
    status = outcome.status
    if status in _AGAIN_LATER or not HTTPStatus.OK <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Retry(words, retry_after(outcome.headers.get("retry-after", ""), now))
    if status in _MENDED_BY_SOMEBODY:
        return Held(words)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Held(f"{words}: the address has moved to {_place(outcome.headers.get('location', ''))}")
    if protocol in _REMOTE_WRITE:
        return _judge_remote_write(protocol, outcome, words)
    return Accepted() if status < HTTPStatus.BAD_REQUEST else Rejected("refused", words)


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header, between 0 and `MAX_RETRY_AFTER`; None where it says nothing usable."""
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,12}", value):
        return min(float(value), MAX_RETRY_AFTER)
    then = http_date(value)
    return None if then is None else min(max(then - now, 0.0), MAX_RETRY_AFTER)


def _judge_remote_write(protocol: Protocol, answer: Answer, words: str) -> Verdict:
    is_2 = protocol is Protocol.REMOTE_WRITE_2
    written = _written(answer) if is_2 else None
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        if is_2 and written is None:
            return Downgrade(f"{words}: none of the headers that say what was written")
        return Accepted(written)
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Split("too_large", words)
    if is_2 and _is_stranger_to_2(answer, written):
        return Downgrade(words)
    if answer.status in _ONE_MAY_BE_BAD and written is None:
        return Split("refused", words)
    # A 2.0 receiver has stored what was good; to send it again would store nothing more.
    return Rejected("refused", words, written or 0)


def _is_stranger_to_2(answer: Answer, written: int | None) -> bool:
    if answer.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return True
    return answer.status == HTTPStatus.BAD_REQUEST and written is None and bool(_CANNOT_READ_2.search(answer.text))


def _written(answer: Answer) -> int | None:
    """Samples and histograms written; None where the answer has none of the headers."""
    names = (_WRITTEN_SAMPLES, _WRITTEN_HISTOGRAMS, _WRITTEN_EXEMPLARS)
    if not any(name in answer.headers for name in names):
        return None
    return sum(_count(answer.headers.get(name, "0")) for name in names[:2])


def _count(value: str) -> int:
    return int(value) if re.fullmatch(r"[0-9]{1,18}", value.strip()) else 0


def _words(answer: Answer) -> str:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "status not registered"
    return f"{answer.status} {phrase}: {answer.text}" if answer.text else f"{answer.status} {phrase}"


def _place(location: str) -> str:
    """A URL for a log: without user, password and query, where people put their tokens."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return "an unreadable place"
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
    return bare or "an unnamed place"
