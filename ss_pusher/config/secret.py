"""Texts that must not be seen: no str(), repr(), log line or traceback shows them."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

HIDDEN: Final = "<hidden>"


class Secret:
    """A password, a token, a header's value. `reveal` is the only way to its text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself: for the wire, never for a log."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class Url(Secret):
    """A URL. As a string it stands without user, password, query and fragment, where people put their tokens."""

    __slots__ = ()

    def split(self) -> SplitResult:
        """The parts, user and password among them."""
        return urlsplit(self._text)

    def has_credentials(self) -> bool:
        """Whether it names a user or a password."""
        return "@" in self.split().netloc

    def __repr__(self) -> str:
        parts = self.split()
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
