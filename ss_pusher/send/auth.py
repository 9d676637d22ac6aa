"""Who we are: headers that authorize a call. Secrets are asked for at each call, so that a rotated one is used at once.

Sources: RFC 7617 (Basic), RFC 6750 (Bearer).
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from ss_pusher.files import read_secret
from ss_pusher.send.exchange import Call
from ss_pusher.send.http import Authorize
from ss_pusher.send.tls import FileStamp, stamp

ReadSecret: TypeAlias = Callable[[], str]
"""Gives a secret as it is now. Raises OSError or ValueError with words for the log."""


class SecretFile:
    """A secret in a file, read again when the file changes. White space around it is not part of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: FileStamp | None = None
        self._secret = ""

    def __call__(self) -> str:
        """The secret. Raises OSError where it cannot be used, and says what is wrong with this file of ours."""
        current = stamp(self._path)
        if current is None or current != self._stamp:
            try:
                self._secret = read_secret(self._path)
            except OSError as error:
                raise OSError(f"nothing was sent: cannot read {self._path}: {error.strerror}") from error
            self._stamp = current
        return self._secret


def basic(username: ReadSecret, password: ReadSecret) -> Authorize:
    """HTTP's basic authentication."""

    def authorize(call: Call, deadline: float, *, refused: bool) -> Mapping[str, str]:  # noqa: ARG001 - the same always
        return {"Authorization": basic_header(username(), password())}

    return authorize


def authorization(scheme: str, credentials: ReadSecret) -> Authorize:
    """An Authorization header of any scheme; Bearer is the usual one."""

    def authorize(call: Call, deadline: float, *, refused: bool) -> Mapping[str, str]:  # noqa: ARG001 - the same always
        return {"Authorization": f"{scheme} {credentials()}"}

    return authorize


def basic_header(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
