"""Many datagrams by one system call, so that neither the interpreter nor its lock stands in the way of each."""

import ctypes
import errno
import os
import socket
from typing import Any, Final, NamedTuple

import numpy as np

from ss_pusher.model import U8
from ss_pusher.netlink.layout import distinct

BATCH: Final = 512
_SLOT: Final = 1024  # a destroy event of Linux 6.18 takes 380 bytes

# recvmmsg(2) and readv(2), aligned as the C compiler does.
_IOVEC: Final[np.dtype[Any]] = np.dtype([("base", np.uintp), ("size", np.uintp)])
_MSGHDR: Final[np.dtype[Any]] = np.dtype(
    [
        ("name", np.uintp),
        ("name_size", np.uint32),
        ("vectors", np.uintp),
        ("vector_count", np.uintp),
        ("control", np.uintp),
        ("control_size", np.uintp),
        ("flags", np.int32),
    ],
    align=True,
)
_MMSGHDR: Final[np.dtype[Any]] = np.dtype([("message", _MSGHDR), ("size", np.uint32)], align=True)


class Batch(NamedTuple):
    """Datagrams by size, uint8[n, size] each; `cut` counts those that were too long to be taken, and are left out."""

    received: int
    blocks: list[U8]
    cut: int


class BatchReceiver:
    """Receives from one datagram socket. Not for two threads at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._slots = np.zeros((BATCH, _SLOT), np.uint8)
        self._vectors = np.zeros(BATCH, _IOVEC)
        self._vectors["base"] = self._slots.ctypes.data + np.arange(BATCH) * _SLOT
        self._vectors["size"] = _SLOT
        self._headers = np.zeros(BATCH, _MMSGHDR)
        self._headers["message"]["vectors"] = self._vectors.ctypes.data + np.arange(BATCH) * _IOVEC.itemsize
        self._headers["message"]["vector_count"] = 1
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg

    def receive(self) -> Batch:
        """Up to `BATCH` datagrams, without waiting for any; OSError if the socket has an error."""
        headers = ctypes.c_void_p(self._headers.ctypes.data)
        received = self._recvmmsg(self._descriptor, headers, BATCH, socket.MSG_DONTWAIT, None)
        if received < 0:
            number = ctypes.get_errno()
            if number == errno.EAGAIN:
                return Batch(0, [], 0)
            raise OSError(number, os.strerror(number))
        heads = self._headers[:received]
        sizes = np.where(heads["message"]["flags"] & socket.MSG_TRUNC, 0, heads["size"])
        blocks = [self._slots[:received][sizes == size, :size] for size in distinct(sizes) if size]
        return Batch(received, blocks, int(np.count_nonzero(sizes == 0)))
