"""Who we are: headers that authorize a call. Secrets are asked for at each call, so that a rotated one is used at once.

Sources: RFC 7617 (Basic), RFC 6750 (Bearer), RFC 6749, section 4.4 (OAuth 2.0 client credentials).
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote_plus, urlencode

from ss_pusher.send.exchange import Call, Failure
from ss_pusher.send.http import Authorize, Client
from ss_pusher.send.tls import stamp

ReadSecret: TypeAlias = Callable[[], str]
"""Gives a secret as it is now. Raises OSError or ValueError with words for the log."""

_RENEW_BEFORE: Final = 10.0
_MAX_TOKEN_ANSWER: Final = 64 << 10


class SecretFile:
    """A secret in a file, read again when the file changes. White space around it is not part of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._secret = ""

    def __call__(self) -> str:
        """The secret. Raises OSError or ValueError where it cannot be read."""
        current = stamp(self._path)
        if current is None or current != self._stamp:
            try:
                self._secret = self._path.read_text(encoding="utf-8").strip()
            except OSError as error:
                raise OSError(f"cannot read {self._path}: {error.strerror}") from error
            except UnicodeDecodeError:
                raise ValueError(f"cannot read {self._path}: it is not UTF-8") from None
            self._stamp = current
        return self._secret


def basic(username: ReadSecret, password: ReadSecret) -> Authorize:
    """HTTP's basic authentication."""

    def authorize(_call: Call, _deadline: float) -> Mapping[str, str]:
        return {"Authorization": _basic(username(), password())}

    return authorize


def authorization(scheme: str, credentials: ReadSecret) -> Authorize:
    """An Authorization header of any scheme; Bearer is the usual one."""

    def authorize(_call: Call, _deadline: float) -> Mapping[str, str]:
        return {"Authorization": f"{scheme} {credentials()}"}

    return authorize


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

    def __call__(self, call: Call, deadline: float) -> Mapping[str, str]:
        """The header with the token. Raises OSError or ValueError where there is none to be had."""
        del call
        secret = self._client_secret()
        if not self._header or self._clock() >= self._expires or secret != self._used_secret:
            self._fetch(secret, deadline)
        return {"Authorization": self._header}

    def _fetch(self, secret: str, deadline: float) -> None:
        self._header = ""
        headers = {
            "Authorization": _basic(quote_plus(self._client_id), quote_plus(secret)),
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


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
