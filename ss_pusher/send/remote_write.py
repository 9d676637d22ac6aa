"""Remote write, 1.0 and 2.0, over HTTP."""

import logging
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from ss_pusher.errors import EncodeError
from ss_pusher.model import Protocol, Request
from ss_pusher.send.exchange import Answer, Call
from ss_pusher.send.http import Client
from ss_pusher.send.verdict import Downgrade, Rejected, Verdict, judge

logger = logging.getLogger(__name__)

TRY_AGAIN_AFTER: Final = 6 * 3600.0
"""Seconds after which an endpoint that did not understand 2.0 is asked again: somebody may have updated it."""

_UNTIL: Final = "remote_write_1_until"
_HEADERS: Final[Mapping[Protocol, Mapping[str, str]]] = {
    Protocol.REMOTE_WRITE_1: {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    },
    Protocol.REMOTE_WRITE_2: {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
    },
}


class ProtocolChoice:
    """Which protocol an endpoint gets: the configured one, or by `None` 2.0 until it shows that it takes only 1.0.

    `recalled` is what an earlier process gave to `remember`. `now` is in Unix seconds. Any thread may ask.
    """

    def __init__(
        self,
        configured: Protocol | None,
        *,
        now: Callable[[], float],
        recalled: Mapping[str, object] | None = None,
        remember: Callable[[Mapping[str, object]], None] | None = None,
    ) -> None:
        self._configured = configured
        self._now = now
        self._remember = remember
        until = (recalled or {}).get(_UNTIL, 0.0)
        self._only_1_until = float(until) if isinstance(until, int | float) else 0.0

    def current(self) -> Protocol:
        """What the next request should be encoded in."""
        if self._configured is not None:
            return self._configured
        return Protocol.REMOTE_WRITE_1 if self._falls_back() else Protocol.REMOTE_WRITE_2

    def fall_back(self) -> bool:
        """The endpoint takes only 1.0: note it. False where the configuration leaves no choice."""
        if self._configured is not None:
            return False
        self._only_1_until = self._now() + TRY_AGAIN_AFTER
        if self._remember:
            self._remember({_UNTIL: self._only_1_until})
        return True

    def _falls_back(self) -> bool:
        # A clock that was set back must not keep us at 1.0 for ever.
        return 0 < self._only_1_until - self._now() <= TRY_AGAIN_AFTER


class RemoteWrite:
    """A sink. Requests in 2.0 are turned into 1.0 by `downgrade`, which may raise EncodeError, where it must be."""

    def __init__(
        self,
        client: Client,
        url: str,
        choice: ProtocolChoice,
        *,
        downgrade: Callable[[Request], Request],
        now: Callable[[], float],
    ) -> None:
        self._client = client
        self._url = url
        self._choice = choice
        self._downgrade = downgrade
        self._now = now

    def push(self, request: Request, deadline: float) -> Verdict:
        """Send it; where the endpoint proves to take only 1.0, once more at once, as that."""
        try:
            if self._choice.current() is Protocol.REMOTE_WRITE_1:
                request = self._as_1(request)
            verdict = self._send(request, deadline)
            if isinstance(verdict, Downgrade) and self._choice.fall_back():
                logger.info("%s takes only remote write 1.0: %s", urlsplit(self._url).netloc, verdict.words)
                verdict = self._send(self._as_1(request), deadline)
        except EncodeError as error:
            return Rejected("undecodable", f"cannot be turned into remote write 1.0: {error}")
        return verdict

    def ask(self, deadline: float) -> bool:
        """Have the endpoint answer anything at all, for the date of its answer: whether it did."""
        return isinstance(self._client.send(Call("HEAD", self._url), deadline), Answer)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _as_1(self, request: Request) -> Request:
        return self._downgrade(request) if request.protocol is Protocol.REMOTE_WRITE_2 else request

    def _send(self, request: Request, deadline: float) -> Verdict:
        outcome = self._client.send(Call("POST", self._url, _HEADERS[request.protocol], request.body), deadline)
        return judge(request.protocol, outcome, self._now())
