"""Who may ask: TLS and passwords, by a file that may change at any time."""

import base64
import binascii
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

from ss_pusher.errors import SsPusherError
from ss_pusher.send.expose.exposition import Answer, plain
from ss_pusher.send.expose.passwords import Decision, Passwords
from ss_pusher.send.tls import FileStamp, stamp

logger = logging.getLogger(__name__)

_TRY_AGAIN: Final = 1.0  # seconds, while the file cannot be used


@dataclass(frozen=True)
class Protection:
    """What such a file asks for. `users` holds a bcrypt hash for each; `files` are all that it was made of."""

    context: ssl.SSLContext | None = None
    client_names: frozenset[str] = frozenset()
    users: Mapping[bytes, bytes] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def is_none(self) -> bool:
        """Whether everybody may ask, and everybody on the way may listen."""
        return self.context is None and not self.users


class Guard:
    """Decides by what the files say now: they are read again when one of them has changed. Safe from any thread.

    While they cannot be used, and `load` raises SsPusherError, nobody is let in.
    """

    def __init__(
        self,
        load: Callable[[], Protection],
        passwords: Passwords,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load: Final = load
        self._passwords: Final = passwords
        self._monotonic: Final = monotonic
        self._lock: Final = threading.Lock()
        self._trouble = ""
        self._tried_at = 0.0
        self._protection: Protection | None = None
        self._stamps: list[FileStamp | None] = []
        self._try_to_read()

    def protection(self) -> Protection | None:
        """What holds now; while the files cannot be used, what held before; None: nothing held yet, not even TLS."""
        with self._lock:
            if self._is_due() and self._try_to_read():
                logger.info("expose: the web configuration or a file that it names has changed, and holds from now on")
            return self._protection

    def refusal(self, authorization: str) -> Answer | None:
        """Why a request with this Authorization header is not answered; None: it is."""
        protection = self.protection()
        if self._trouble or protection is None:
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the web configuration cannot be used; see the agent's log")
        if not protection.users:
            return None
        credentials = _basic(authorization)
        decision = self._passwords.check(protection.users, *credentials) if credentials else Decision.REFUSED
        if decision is Decision.LATER:
            return plain(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong passwords; try again later", Retry_After="5")
        if decision is Decision.REFUSED:
            return plain(HTTPStatus.UNAUTHORIZED, "user and password, please", WWW_Authenticate="Basic")
        return None

    def _is_due(self) -> bool:
        if self._trouble or self._protection is None:
            return self._monotonic() - self._tried_at >= _TRY_AGAIN
        return [stamp(file) for file in self._protection.files] != self._stamps

    def _try_to_read(self) -> bool:
        """Whether that went well; the log says why not."""
        self._tried_at = self._monotonic()
        try:
            self._read()
        except SsPusherError as error:
            if str(error) != self._trouble:
                logger.error("expose: nobody is let in until this is mended: %s", error)  # noqa: TRY400 - a trace helps nobody
            self._trouble = str(error)
            return False
        self._trouble = ""
        return True

    def _read(self) -> None:
        """The stamps are taken before the files are read, so that no change is missed."""
        protection, files = self._protection or Protection(), None
        while files != protection.files:
            files = protection.files
            stamps = [stamp(file) for file in files]
            protection = self._load()
        self._protection, self._stamps = protection, stamps


def _basic(authorization: str) -> tuple[bytes, bytes] | None:
    """User and password, RFC 7617; None where the header holds none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
