"""A question to somebody else's code, which may never answer."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Asked(Generic[T]):
    """Asks in a thread of its own, again and again, but never while an earlier question is not answered."""

    def __init__(self, question: Callable[[], T]) -> None:
        """`question` raises nothing."""
        self._question: Final = question
        self._thread: threading.Thread | None = None

    def answer(self, patience: float) -> T | None:
        """The answer; None if there is none within so many seconds, or an earlier one is still to come."""
        if self._thread and self._thread.is_alive():
            return None
        answers: SimpleQueue[T] = SimpleQueue()
        self._thread = threading.Thread(target=lambda: answers.put(self._question()), name="asked", daemon=True)
        self._thread.start()
        try:
            return answers.get(timeout=patience)
        except Empty:
            return None
