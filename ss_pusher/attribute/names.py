"""Names as 64-bit words, so that a group's key is all words."""

from hashlib import blake2b
from typing import Final

from ss_pusher.model import OTHER_WORD

LIMIT: Final = 65_536
"""Names in one generation; two are remembered."""


LONGEST: Final = 1024
"""Characters of a name that are kept; Mimir refuses labels beyond 2,048 bytes."""


class Names:
    """Gives each name a word, and the name back for the word.

    The word is a digest of the name: a name that was forgotten and comes again gets the same word, in this process and
    after a reload of the configuration, so no two keys ever stand for the same labels. That two of the 131,072 names
    share a digest happens once in two billion times. Bounded: names that were neither given nor asked for since
    `limit` others came are forgotten.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._recent: dict[int, str] = {}
        self._earlier: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._recent.keys() | self._earlier.keys())

    def word(self, name: str) -> int:
        """The word of this name; 0 is the empty one."""
        if not name:
            return 0
        name = _presentable(name)
        word = min(max(_digest(name), 1), OTHER_WORD - 1)
        self._remember(word, name)
        return word

    def name(self, word: int) -> str:
        """The name behind `word`; of a forgotten one only the digest is left, in hexadecimal."""
        if word == 0:
            return ""
        name = self._recent.get(word) or self._earlier.get(word)
        if name is None:
            return f"{word:016x}"
        self._remember(word, name)
        return name

    def _remember(self, word: int, name: str) -> None:
        if word not in self._recent and len(self._recent) >= self._limit:
            self._earlier, self._recent = self._recent, {}
        self._recent[word] = name


def _presentable(name: str) -> str:
    """The name as receivers take it. Whoever makes a cgroup or a process chooses its bytes, and 4 KiB of them."""
    text = name.encode(errors="surrogateescape").decode(errors="replace")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 17]}~{_digest(text):016x}"


def _digest(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
