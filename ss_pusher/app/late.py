"""What few agents ever use, imported when it is used: protobuf's classes and prometheus_client cost several MiB.

A batch is taken apart or turned into 1.0 only when a server asks for it; text is for Pushgateways and scrapes.
"""
# ruff: noqa: PLC0415 - that is what this module is for

from collections.abc import Mapping, Sequence

from ss_pusher.model import Request, Snapshot


def split(request: Request) -> list[Request]:
    """See `reshape.split`."""
    from ss_pusher.encode import reshape

    return reshape.split(request)


def merge(requests: Sequence[Request]) -> Request:
    """See `reshape.merge`."""
    from ss_pusher.encode import reshape

    return reshape.merge(requests)


def downgrade(request: Request) -> Request:
    """See `reshape.downgrade`."""
    from ss_pusher.encode import reshape

    return reshape.downgrade(request)


def delimited_request(snapshot: Snapshot, external_labels: Mapping[str, str]) -> Request:
    """See `delimited.encode`."""
    from ss_pusher.encode import delimited

    (request,) = delimited.encode(snapshot, external_labels)
    return request


def delimited(snapshot: Snapshot, external_labels: Mapping[str, str]) -> bytes:
    """See `delimited.message`."""
    from ss_pusher.encode import delimited

    return delimited.message(snapshot, external_labels)


def text_request(snapshot: Snapshot, external_labels: Mapping[str, str]) -> Request:
    """See `text.encode`."""
    from ss_pusher.encode import text

    (request,) = text.encode(snapshot, external_labels)
    return request


def text(snapshot: Snapshot, external_labels: Mapping[str, str]) -> bytes:
    """See `text.text`."""
    from ss_pusher.encode.text import text as write

    return write(snapshot, external_labels)


def open_metrics(snapshot: Snapshot, external_labels: Mapping[str, str]) -> bytes:
    """See `text.open_metrics`."""
    from ss_pusher.encode.text import open_metrics as write

    return write(snapshot, external_labels)


def bcrypt_matches(password: bytes, hashed: bytes) -> bool:
    """Whether a password has this hash, which is known to be well-formed."""
    import bcrypt

    return bcrypt.checkpw(password, hashed)
