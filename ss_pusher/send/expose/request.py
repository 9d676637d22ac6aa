"""The head of an HTTP/1 request, RFC 9112: bytes into what they ask for, strictly."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

MAX_HEAD: Final = 16 << 10
"""Bytes of request line and headers at most."""

END: Final = b"\r\n\r\n"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_LINE: Final = re.compile(r"([^ ]+) ([^ ]+) HTTP/1\.([0-9])")
_FIELD: Final = re.compile(r"([^:]+):[ \t]*(.*?)[ \t]*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Request(NamedTuple):
    """A request without its body; the names of headers are in lower case, and repeated ones joined by commas."""

    method: str
    path: str
    headers: Mapping[str, str]
    lasts: bool
    """Whether another request may follow: the client wants that, and there is no body in between."""


def parse(head: bytes) -> Request | None:
    """What a head without its empty line asks for; None: it is not one."""
    first, *fields = head.decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(first)
    headers = _headers(fields)
    if line is None or headers is None or not _TOKEN.fullmatch(line[1]):
        return None
    path = _path(line[2])
    if path is None or (line[3] != "0" and "host" not in headers):
        return None
    wanted = line[3] != "0" and "close" not in headers.get("connection", "").lower()
    has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    return Request(line[1], path, headers, wanted and not has_body)


def _headers(fields: list[str]) -> dict[str, str] | None:
    headers: dict[str, str] = {}
    for field in fields:
        match = _FIELD.fullmatch(field)
        if match is None or not _TOKEN.fullmatch(match[1]) or _CONTROL.search(match[2]):
            return None
        name = match[1].lower()
        headers[name] = f"{headers[name]}, {match[2]}" if name in headers else match[2]
    return headers


def _path(target: str) -> str | None:
    if target.startswith("/"):
        return target.partition("?")[0]
    try:
        return urlsplit(target).path
    except ValueError:
        return None
