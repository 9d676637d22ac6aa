"""Whether a password is a user's, by its bcrypt hash, and at a bounded cost."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final

_MOST_BYTES: Final = 72  # what bcrypt looks at
_SHARE: Final = 20
"""Hashing takes at most one second of so many, over time."""
_BURST: Final = 1.0
"""Seconds of hashing that may come at once."""


class Decision(Enum):
    """What becomes of somebody who gave a name and a password."""

    ACCEPTED = auto()
    REFUSED = auto()
    LATER = auto()  # too much hashing of late: nobody looked


class Passwords:
    """Checks passwords; safe from any thread. `verify` is bcrypt's own check of a password against a hash.

    Hashing is slow on purpose. So the last right password of each user is known again by a keyed digest, one hash is
    computed at a time, and who guesses pays with waiting, not with this host's processor. A user that there is not
    takes as long as one that there is.
    """

    def __init__(self, verify: Callable[[bytes, bytes], bool], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._verify: Final = verify
        self._monotonic: Final = monotonic
        self._key: Final = secrets.token_bytes(32)
        self._lock: Final = threading.Lock()
        self._good: dict[bytes, bytes] = {}  # by user, the digest of what was right
        self._paid_at = -float("inf")  # when the hashing so far is paid for

    def check(self, users: Mapping[bytes, bytes], user: bytes, password: bytes) -> Decision:
        """Decide; `users` holds a hash for each, and is not empty."""
        hashed = users.get(user)
        digest = self._digest(user, hashed or b"", password)
        if hashed and hmac.compare_digest(self._good.get(user, b""), digest):
            return Decision.ACCEPTED
        with self._lock:
            began = self._monotonic()
            if self._paid_at - began >= _BURST * _SHARE:
                return Decision.LATER
            right = self._verify(password[:_MOST_BYTES], hashed or next(iter(users.values())))
            took = self._monotonic() - began
            self._paid_at = max(self._paid_at, began) + took * _SHARE
            if not (hashed and right):
                return Decision.REFUSED
            self._good = {name: good for name, good in self._good.items() if name in users} | {user: digest}
            return Decision.ACCEPTED

    def _digest(self, *parts: bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key)
        for part in parts:
            digest.update(len(part).to_bytes(8) + part)
        return digest.digest()
