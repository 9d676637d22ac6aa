"""Receiving many datagrams by one system call."""

import socket
from collections.abc import Iterator

import pytest

from ss_pusher.netlink.batch import BATCH, BatchReceiver


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        yield sender, receiver


def test_datagrams_come_by_size(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = ends
    sent = [b"a" * 380, b"b" * 96, b"c" * 380, b"d" * 1024]
    for datagram in sent:
        sender.send(datagram)
    batch = BatchReceiver(receiver.fileno()).receive()
    assert (batch.received, batch.cut) == (4, 0)
    assert [[row.tobytes() for row in block] for block in batch.blocks] == [[sent[1]], [sent[0], sent[2]], [sent[3]]]


def test_what_a_batch_does_not_hold_comes_with_the_next(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = ends
    batches = BatchReceiver(receiver.fileno())
    for number in range(BATCH + 3):
        sender.send(number.to_bytes(4))
    first, second, third = batches.receive(), batches.receive(), batches.receive()
    assert (first.received, second.received, third.received) == (BATCH, 3, 0)
    numbers = [int.from_bytes(row.tobytes()) for batch in (first, second) for row in batch.blocks[0]]
    assert numbers == list(range(BATCH + 3))


def test_a_datagram_that_is_cut_is_left_out_and_counted(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = ends
    for size in (1025, 100, 60_000):
        sender.send(bytes(size))
    batch = BatchReceiver(receiver.fileno()).receive()
    assert (batch.received, batch.cut) == (3, 2)
    assert [block.shape for block in batch.blocks] == [(1, 100)]


def test_nothing_is_no_error_but_an_error_is() -> None:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender:
        batches = BatchReceiver(receiver.fileno())
        assert batches.receive() == (0, [], 0)
        receiver.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            batches.receive()
