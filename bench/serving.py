"""Processes of their own that a benchmark gives orders to."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

_SPAWN: Final = multiprocessing.get_context("spawn")


@contextmanager
def serving(serve: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """A process that runs `serve(*arguments, orders)`; at the end `orders` raises EOFError there."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=serve, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()
