"""Doing something without any capability, as the agent runs by default."""

import ctypes
import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

_CAPABILITY_VERSION_3: Final = 0x20080522  # Linux include/uapi/linux/capability.h


def without_capabilities(function: Callable[[], T]) -> T:
    """Call the function in a thread of this one's network namespace that gave up all capabilities, root's too."""

    def call() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        # Capabilities belong to the thread; it ends with this call.
        if libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24)) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return function()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(call).result()
