"""A stderr that holds nobody: whoever reads the shared one may be gone, or not read, and its disk may be full."""

import io
import os
import threading
from collections import deque
from typing import Final

_STDERR: Final = 2
_MOST: Final = 1000
"""Texts that wait at most; what comes then is dropped."""


class Stderr(io.TextIOBase):
    """Takes text at once, and writes it to descriptor 2 from a thread of its own, which the first text starts.

    O_NONBLOCK would be seen by all who share the open file: open(2).
    """

    def __init__(self) -> None:
        self._texts: Final[deque[bytes]] = deque()
        self._changed: Final = threading.Condition()
        self._started = self._given_up = False

    def write(self, text: str) -> int:
        """Take it; how many characters that were."""
        with self._changed:
            if text and len(self._texts) < _MOST:
                self._texts.append(text.encode(errors="backslashreplace"))
                self._changed.notify_all()
                self._start()
        return len(text)

    def fileno(self) -> int:
        """Where it goes to."""
        return _STDERR

    def drain(self, patience: float) -> None:
        """Wait until all is written, so many seconds at most; who has waited in vain does not wait again."""
        with self._changed:
            if not self._given_up:
                self._given_up = not self._changed.wait_for(lambda: not self._texts, patience)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            try:
                threading.Thread(target=self._run, name="stderr", daemon=True).start()
            except RuntimeError:  # no thread can be had, and so nothing can be said
                self._given_up = True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._texts)
                text = self._texts[0]
            _write(text)
            with self._changed:
                self._texts.popleft()
                self._changed.notify_all()


def _write(text: bytes) -> None:
    try:
        while text:
            text = text[os.write(_STDERR, text) :]
    except OSError:  # full, or nobody reads it: there is nowhere to say so
        return
