"""What a parser of one value raises, and words that help the reader of it."""

from collections.abc import Iterable

from ss_pusher.errors import SsPusherError


class InvalidError(SsPusherError):
    """A value cannot be what it should be.

    The text is a predicate, "is no duration; write one like 30s", and never repeats the value, which may be a secret.
    """


def suggestion(word: str, known: Iterable[str]) -> str:
    """'; did you mean retransmits?' where one of `known` looks like `word`, else nothing."""
    from difflib import get_close_matches  # noqa: PLC0415  only a mistake needs it

    close = get_close_matches(word[:100], known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
