"""AWS Signature Version 4, with the signature in the Authorization header.

Source: AWS Identity and Access Management, User Guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

from ss_pusher.send.exchange import Call

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-_.~"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """An access key; `token` is that of a session, `expires_at` in Unix seconds."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires_at: float = float("inf")


class GetKeys(Protocol):
    """Gives the keys to sign with."""

    def __call__(self, deadline: float, *, refused: bool) -> AwsKeys:
        """By `deadline` (monotonic). `refused`: the last ones were not taken. Raises OSError or ValueError."""


class SigV4:
    """Authorizes calls by a signature. `now` is in Unix seconds."""

    def __init__(self, keys: GetKeys, region: str, service: str, now: Callable[[], float]) -> None:
        self._keys = keys
        self._region = region
        self._service = service
        self._now = now

    def __call__(self, call: Call, deadline: float, *, refused: bool) -> Mapping[str, str]:
        """The headers with date and signature. Raises OSError or ValueError where there are no keys."""
        keys = self._keys(deadline, refused=refused)
        return sign(call, keys, self._region, self._service, datetime.fromtimestamp(self._now(), UTC))


def sign(call: Call, keys: AwsKeys, region: str, service: str, moment: datetime) -> Mapping[str, str]:
    """The headers that sign a call's method, host, path, query and body. Pure."""
    date = moment.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    headers = {"X-Amz-Date": date} | ({"X-Amz-Security-Token": keys.token} if keys.token else {})
    signed = sorted({"host": _host(call.url), **{name.lower(): value for name, value in headers.items()}}.items())
    names = ";".join(name for name, _ in signed)
    canonical = "\n".join(
        [
            call.method,
            _path(call.url),
            _query(call.url),
            *(f"{name}:{value}" for name, value in signed),
            "",
            names,
            hashlib.sha256(call.body).hexdigest(),
        ]
    )
    text = "\n".join([_ALGORITHM, date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={keys.access_key}/{scope}"
    return headers | {"Authorization": f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"}


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return host.rpartition(":")[0] if parts.port == _DEFAULT_PORTS[parts.scheme] else host


def _path(url: str) -> str:
    # Every service but S3 wants the path encoded once more than it is on the wire.
    return quote(urlsplit(url).path or "/", safe=f"/{_UNRESERVED}")


def _query(url: str) -> str:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    encoded = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)
