"""OAuth 2.0 client credentials: RFC 6749, section 4.4."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import quote_plus, urlencode

from ss_pusher.send.auth import ReadSecret, basic_header
from ss_pusher.send.exchange import Call, Failure
from ss_pusher.send.http import Client

_RENEW_BEFORE: Final = 10.0
_MAX_TOKEN_ANSWER: Final = 64 << 10


class OAuth2:
    """OAuth 2.0 client credentials: a token that is fetched when it is needed, and used until it expires.

    `client` sends the request for it, within the deadline of the call that needs it. `parameters` go along in its
    form. `clock` is monotonic.
    """

    def __init__(
        self,
        client: Client,
        token_url: str,
        client_id: str,
        client_secret: ReadSecret,
        *,
        scopes: Sequence[str] = (),
        parameters: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._form = {"grant_type": "client_credentials", **({"scope": " ".join(scopes)} if scopes else {})}
        self._form |= parameters or {}
        self._clock = clock
        self._used_secret = ""
        self._header = ""
        self._expires = 0.0

    def __call__(self, call: Call, deadline: float, *, refused: bool) -> Mapping[str, str]:  # noqa: ARG002 - any call
        """The header with the token. Raises OSError or ValueError where there is none to be had."""
        secret = self._client_secret()
        if refused or not self._header or self._clock() >= self._expires or secret != self._used_secret:
            self._fetch(secret, deadline)
        return {"Authorization": self._header}

    def _fetch(self, secret: str, deadline: float) -> None:
        self._header = ""
        headers = {
            "Authorization": basic_header(quote_plus(self._client_id), quote_plus(secret)),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        call = Call("POST", self._token_url, headers, urlencode(self._form).encode())
        answer = self._client.send(call, deadline, _MAX_TOKEN_ANSWER)
        if isinstance(answer, Failure):
            raise OSError(f"no token: {answer.words}")
        if answer.status != HTTPStatus.OK:
            raise OSError(f"no token: the server of tokens answers {answer.status}: {answer.text}")
        try:
            token = json.loads(answer.body)
            self._header = f"{token.get('token_type') or 'Bearer'} {token['access_token']}"
            lifetime = float(token.get("expires_in", 0)) or float("inf")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError("no token: the answer of the server of tokens has none") from None
        self._expires = self._clock() + lifetime - _RENEW_BEFORE
        self._used_secret = secret
