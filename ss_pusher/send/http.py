"""An HTTP client that knows nothing of samples: one exchange at a time, on one kept-alive connection, by a deadline."""

import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from http.client import HTTPException
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from urllib3.exceptions import HTTPError

from ss_pusher import __version__
from ss_pusher.send.deadline import Deadline
from ss_pusher.send.exchange import Answer, Call, Failure, Outcome
from ss_pusher.send.redact import redact, secrets
from ss_pusher.send.session import HttpSettings, make_session
from ss_pusher.send.tls import Stamp

USER_AGENT: Final = f"ss_pusher/{__version__}"
MAX_BODY: Final = 4096
"""Bytes of an answer's body that are read; what a server says of an error fits."""
MAX_TEXT: Final = 500
"""Characters of a body or a header that are kept for a log."""
MAX_OVERHEAD: Final = 256 << 10
"""Bytes of an answer that are not its body, which http.client skips without a bound of its own: interim answers (1xx),
headers, trailers. What honest servers send stays far below."""
MAX_REDIRECTS: Final = 5

# It would show URLs, and write a traceback for each header that it cannot read.
logging.getLogger("urllib3").setLevel(logging.ERROR)

_FAILURES: Final = (OSError, ValueError, HTTPError, HTTPException)
_CLOSED_BY_SERVER: Final = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)


class Authorize(Protocol):
    """Gives the headers that authorize a call."""

    def __call__(self, call: Call, deadline: float, *, refused: bool) -> Mapping[str, str]:
        """By `deadline` (monotonic). `refused`: the server did not take the last ones, so nothing cached may be used.

        Raises OSError or ValueError, with words for the log.
        """


class Client:
    """For one thread. A failure closes the connection, so that names and certificates are read anew."""

    def __init__(
        self,
        settings: HttpSettings,
        authorize: Authorize | None = None,
        heard: Callable[[Answer], None] = lambda _: None,
    ) -> None:
        """`heard` is told of every answer when it comes."""
        self._settings = settings
        self._authorize = authorize
        self._heard = heard
        self._deadline = Deadline()
        self._session: requests.Session | None = None
        self._stamp: Stamp = ()
        self._kept_alive = False
        self._refused = False
        self._secrets: frozenset[str] = frozenset()  # of the latest exchange

    def send(self, call: Call, deadline: float, max_body: int = MAX_BODY) -> Outcome:
        """One exchange, over by `deadline` (time.monotonic), from the look-up of the name to the answer's last byte."""
        self._deadline.set(deadline)
        try:
            answer = self._follow(call, deadline, max_body)
        except _FAILURES as error:
            self.close()
            return Failure(clean(self._explain(error), self._secrets))
        self._heard(answer)
        return answer

    def close(self) -> None:
        """Close the connection. The next `send` opens another."""
        if self._session:
            self._session.close()
        self._session = None
        self._kept_alive = False

    def _follow(self, call: Call, deadline: float, max_body: int) -> Answer:
        for _ in range(MAX_REDIRECTS):
            answer = self._exchange_again(call, deadline, max_body)
            if not self._settings.follow_redirects:
                return answer
            if answer.status not in (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT):
                return answer
            target = urljoin(call.url, answer.headers.get("location", ""))
            if _origin(target) != _origin(call.url):
                return answer
            call = Call(call.method, target, call.headers, call.body)
        return answer

    def _exchange_again(self, call: Call, deadline: float, max_body: int) -> Answer:
        """An exchange; once more where the server had closed the kept connection, which says nothing of the call."""
        kept_alive = self._kept_alive
        try:
            return self._exchange(call, deadline, max_body)
        except _FAILURES as error:
            if not kept_alive or not isinstance(_root(error), _CLOSED_BY_SERVER):
                raise
            self.close()
            return self._exchange(call, deadline, max_body)

    def _exchange(self, call: Call, deadline: float, max_body: int) -> Answer:
        session = self._open_session()
        self._kept_alive = False
        headers = {"Accept-Encoding": "identity", **self._settings.headers, **call.headers, "User-Agent": USER_AGENT}
        if self._authorize:
            headers |= self._authorize(call, deadline, refused=self._refused)
        prepared = requests.Request(call.method, call.url, headers, data=call.body).prepare()
        prepared.url = call.url  # as it is: grouping keys and signatures do not survive another's quoting
        # A server may say again what it was asked, and people put tokens into the query.
        self._secrets = secrets(headers, self._settings.headers, call.url, self._settings.proxy)
        self._deadline.expect(MAX_OVERHEAD + 2 * max_body)  # the framing of chunks is less than what is in them
        response = session.send(prepared, stream=True, timeout=self._deadline.remaining(), allow_redirects=False)
        self._deadline.head_expected = False
        self._refused = response.status_code == HTTPStatus.UNAUTHORIZED
        body, self._kept_alive = _read_body(response.raw, max_body)
        return Answer(
            status=response.status_code,
            headers={name.lower(): clean(value) for name, value in response.headers.items()},
            text=clean(_decode(body, response.headers.get("Content-Encoding", "")), self._secrets),
            body=body,
        )

    def _open_session(self) -> requests.Session:
        stamp = self._settings.tls.stamp()
        if self._session is None or stamp != self._stamp:
            self.close()
            self._session = make_session(self._settings, self._deadline)
            self._stamp = stamp
        return self._session

    def _explain(self, error: Exception) -> str:
        if self._deadline.expired():
            return "no complete answer before the deadline"
        root = _root(error)
        if isinstance(root, requests.exceptions.InvalidHeader):
            return "a configured header, user or token has characters that HTTP does not allow"
        if isinstance(root, ssl.SSLCertVerificationError):
            return f"the server's certificate: {root.verify_message}"
        if isinstance(root, ssl.SSLError):
            return f"TLS: {root.reason or root}"
        if isinstance(root, OSError) and root.strerror:
            return root.strerror
        return str(root) or type(root).__name__


def clean(text: str, hide: Iterable[str] = ()) -> str:
    """A server's text fit for a log: one line, no control characters, nothing of what it shall hide, not long."""
    text = redact(text, hide)
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT]).split())[:MAX_TEXT]


def _read_body(raw: urllib3.HTTPResponse, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes, and whether that was all, so that the connection can be kept."""
    body = b""
    complete = False
    try:
        while len(body) < limit and not complete:
            piece = raw.read1(limit - len(body), decode_content=False)
            body += piece
            complete = not piece
    except _FAILURES:
        pass  # the status has been heard, and says it all
    if complete:
        raw.release_conn()
    else:
        raw.close()
    return body, complete


def _decode(body: bytes, encoding: str) -> str:
    # Never decompressed: a few bytes may stand for gigabytes.
    return body.decode(errors="replace") if encoding in ("", "identity") else f"(an answer in {encoding})"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _root(error: BaseException) -> BaseException:
    """The error that urllib3 and requests have wrapped."""
    while isinstance(error, requests.RequestException | HTTPError):
        inside = (*error.args, getattr(error, "reason", None), error.__cause__, error.__context__)
        inner = next((e for e in inside if isinstance(e, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error
