"""A Pushgateway's group of metrics: put or posted whole, deleted at the end where that is wanted.

Source: the Pushgateway's README ("URL", "PUT method", "About timestamps"), and its 1.5.1 as Debian ships it, tried.
"""

import gzip
import logging
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Literal, TypeAlias

from ss_pusher.model import Protocol, Request
from ss_pusher.send.exchange import Answer, Call, Outcome
from ss_pusher.send.http import Client
from ss_pusher.send.verdict import Accepted, Held, Rejected, Verdict, judge

logger = logging.getLogger(__name__)

Method: TypeAlias = Literal["PUT", "POST"]

SLOW_AFTER: Final = 3
"""Refusals in a row after which we push only now and then: each push costs the gateway a check of all it holds."""
_TO_DELETE: Final = 1.0
"""Seconds of the time left at the end that are not spent lingering."""

_CONTENT_TYPES: Final[Mapping[Protocol, str]] = {
    Protocol.TEXT: "text/plain; version=0.0.4; charset=utf-8",
    Protocol.DELIMITED: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
}
_MAYBE_OUR_FORMAT: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
_PLAIN: Final = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]+")


def group_url(base: str, job: str, grouping_key: Mapping[str, str]) -> str:
    """The URL of a group on the gateway at `base`. Every value can be expressed; `job` must not be empty."""
    others = (_segment(name, value) for name, value in sorted(grouping_key.items()))
    return "/".join([base.rstrip("/"), "metrics", _segment("job", job), *others])


class FormatChoice:
    """Which format a gateway gets: `preferred`, until it shows that it takes only text. Any thread may ask."""

    def __init__(self, preferred: Literal[Protocol.TEXT, Protocol.DELIMITED]) -> None:
        self._format = preferred

    def current(self) -> Protocol:
        """What the next request should be encoded in."""
        return self._format

    def fall_back(self) -> None:
        """The gateway takes only text."""
        self._format = Protocol.TEXT


class Pushgateway:
    """A sink for requests in `Protocol.TEXT` and `Protocol.DELIMITED`; each holds the whole group.

    Where the gateway takes only text, `as_text` gives the group once more in that, as it is now. Where it refuses the
    group, `rest` gives what is left of it without the job's own metrics, or None if it has none.

    `method` is asked at each push: PUT replaces the group, POST only the families that the request has. `linger` is how
    many seconds the last values are left to be scraped before `delete` on exit; `wait` waits that long. `now` is in
    Unix seconds.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        choice: FormatChoice,
        *,
        as_text: Callable[[], Request],
        rest: Callable[[], Request | None] = lambda: None,
        now: Callable[[], float],
        method: Callable[[], Method] = lambda: "PUT",
        on_exit: Literal["keep", "delete"] = "keep",
        linger: float = 0.0,
        wait: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url
        self._choice = choice
        self._as_text = as_text
        self._rest = rest
        self._now = now
        self._method = method
        self._on_exit = on_exit
        self._linger = linger
        self._wait = wait
        self._clock = clock
        self._compress = True
        self._takes_gzip = False
        self._takes_protobuf = False
        self._refusals = 0
        self._told_of_rest = False

    def push(self, request: Request, deadline: float) -> Verdict:
        """Send it. After `SLOW_AFTER` refusals in a row the verdict is to hold it, so that the next push comes late."""
        verdict = judge(request.protocol, self._send_in_format(request, deadline), self._now())
        if isinstance(verdict, Rejected) and (rest := self._rest()):
            verdict = self._push_rest(rest, verdict.words, deadline)
        if not isinstance(verdict, Rejected):
            self._refusals = 0
            return verdict
        self._refusals += 1
        return verdict if self._refusals < SLOW_AFTER else Held(verdict.words)

    def finish(self, deadline: float) -> Verdict:
        """At the end, after the last push: delete the group where that is wanted, by `deadline` (monotonic)."""
        if self._on_exit == "keep":
            return Accepted()
        self._wait(max(min(self._linger, deadline - self._clock() - _TO_DELETE), 0))
        return judge(Protocol.TEXT, self._client.send(Call("DELETE", self._url), deadline), self._now())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _push_rest(self, rest: Request, refusal: str, deadline: float) -> Verdict:
        verdict = judge(rest.protocol, self._send(rest, deadline), self._now())
        if not isinstance(verdict, Accepted):
            return verdict
        if not self._told_of_rest:
            logger.warning(
                "%s refused the metrics of the job's registry; the rest went without: %s", self._url, refusal
            )
            self._told_of_rest = True
        return Accepted(rest.samples)

    def _send_in_format(self, request: Request, deadline: float) -> Outcome:
        if request.protocol is Protocol.TEXT:
            return self._send(request, deadline)
        if self._choice.current() is Protocol.TEXT:
            return self._send(self._as_text(), deadline)
        outcome = self._send(request, deadline)
        if _is_accepted(outcome):
            self._takes_protobuf = True
        elif not self._takes_protobuf and isinstance(outcome, Answer) and outcome.status in _MAYBE_OUR_FORMAT:
            # Some that are like a Pushgateway read protobuf as text. If it takes that, it was that.
            refusal, outcome = outcome, self._send(self._as_text(), deadline)
            if _is_accepted(outcome):
                self._choice.fall_back()
                logger.warning("%s takes only text, without native histograms: %s", self._url, refusal.text)
        return outcome

    def _send(self, request: Request, deadline: float) -> Outcome:
        method = self._method()
        headers = {"Content-Type": _CONTENT_TYPES[request.protocol]}
        plain = Call(method, self._url, headers, request.body)
        if not self._compress:
            return self._client.send(plain, deadline)
        body = gzip.compress(request.body, mtime=0)
        packed = Call(method, self._url, headers | {"Content-Encoding": "gzip"}, body)
        outcome = self._client.send(packed, deadline)
        if _is_accepted(outcome):
            self._takes_gzip = True
        elif not self._takes_gzip and isinstance(outcome, Answer) and outcome.status in _MAYBE_OUR_FORMAT:
            # A gateway before 1.5.0 reads the compressed bytes as text. If it takes them plain, it was that.
            outcome = self._client.send(plain, deadline)
            self._compress = not _is_accepted(outcome)
        return outcome


def _segment(name: str, value: str) -> str:
    # A slash, `//` or a dot segment does not survive the way; so whatever is not plain goes in base64.
    if _PLAIN.fullmatch(value):
        return f"{name}/{value}"
    return f"{name}@base64/{urlsafe_b64encode(value.encode()).decode() or '='}"


def _is_accepted(outcome: Outcome) -> bool:
    return isinstance(outcome, Answer) and HTTPStatus.OK <= outcome.status < HTTPStatus.MULTIPLE_CHOICES
