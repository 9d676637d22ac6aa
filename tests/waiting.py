"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, deadline: float = 10.0) -> T:
    """Ask until the answer is true, and return it; TimeoutError with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {what} (last answer: {answer!r})")
        time.sleep(0.01)
