"""What we tell a server and never the log: credentials, which a server may say again in its answer.

Sources: RFC 7617 (Basic), RFC 6749, section 2.3.1 (a client's secret is form-encoded before it is the password).
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import unquote, unquote_plus, urlsplit

SHORTEST: Final = 4
"""Characters of the shortest part that is hidden alone: in place of a shorter one, half of any text would be gone."""
_HIDDEN: Final = "<hidden>"
_CREDENTIALS: Final = frozenset({"authorization", "x-amz-security-token"})


def secrets(headers: Mapping[str, str], configured: Mapping[str, str], url: str, proxy: str) -> frozenset[str]:
    """What of a call to `url`, through `proxy` (a URL or empty), must not be shown.

    Of its `headers` those with credentials; of those that are `configured` nobody knows what they are for, so all.
    """
    found = {urlsplit(url).query, *_of_user(_user(proxy))}
    for name, value in headers.items():
        if name.lower() in _CREDENTIALS:
            found |= {value.rpartition(" ")[2], *_of_basic(value)}
    for value in configured.values():
        found |= {each for each in (value, value.rpartition(" ")[2]) if len(each) >= SHORTEST}
        found |= {*_of_basic(value)}
    return frozenset(found - {""})


def redact(text: str, hide: Iterable[str]) -> str:
    """The text without any of them."""
    for secret in sorted(hide, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def _user(proxy: str) -> str:
    return unquote(urlsplit(proxy).netloc.rpartition("@")[0])


def _of_basic(value: str) -> Iterator[str]:
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):  # it is no Base64, or no UTF-8
            yield from _of_user(b64decode(encoded).decode())


def _of_user(user: str) -> Iterator[str]:
    """Of `user:password` what is a secret, as a server may write it."""
    password = user.partition(":")[2]
    if password:
        yield from (user, unquote_plus(user), b64encode(user.encode()).decode())
        yield from (each for each in (password, unquote_plus(password)) if len(each) >= SHORTEST)
