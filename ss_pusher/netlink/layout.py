"""Where things stand in a buffer of netlink messages: pure, and without a Python object for each message.

Everything in netlink begins at a multiple of four bytes, so places are counted in 32-bit words from the start of the
buffer. A buffer ends in `SLACK` bytes of zeros, so that a fixed number of bytes may be read from any place inside it,
and so that what is absent has a place of its own: there.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ss_pusher.model import U8, U16, U32, Bools, Rows

SLACK: Final = 512
NLMSG_HEADER: Final = 16  # include/uapi/linux/netlink.h, struct nlmsghdr
SOCKET_HEADER: Final = 88  # nlmsghdr and include/uapi/linux/inet_diag.h, struct inet_diag_msg
ATTRIBUTE_HEADER: Final = 4  # include/uapi/linux/netlink.h, struct nlattr
NLA_TYPE_MASK: Final = 0x3FFF


class Messages(NamedTuple):
    """`starts` are words, `lengths` bytes; `size` is how many bytes hold messages: what stands behind them is none."""

    starts: Rows  # int64[n]
    lengths: Rows  # int64[n]
    size: int

    def select(self, rows: Rows | Bools) -> "Messages":
        """Only the given rows."""
        return self._replace(starts=self.starts[rows], lengths=self.lengths[rows])


def padded(data: bytes | bytearray | memoryview) -> U8:
    """A copy of `data` with zeros behind it, aligned for `find_messages` and `gather`."""
    buffer = np.zeros((len(data) + 3) // 4 * 4 + SLACK, np.uint8)
    buffer[: len(data)] = np.frombuffer(data, np.uint8)
    return buffer


def find_messages(buffer: U8, size: int) -> Messages:
    """The messages in the first `size` bytes, whole ones only.

    A guess is made at once for all of them, and counts only if each message ends where the next begins, up to the end.
    If none holds, the lengths are followed one by one.
    """
    words = buffer.view(np.uint32)
    return _all_alike(words, size) or _by_sequence(words, size) or _walk(words, size)


def _all_alike(words: U32, size: int) -> Messages | None:
    """Messages of one length, as where all sockets are in the same state."""
    length = int(words[0])
    if length < NLMSG_HEADER or length % 4 or size % length:
        return None
    lengths = words[: size // 4 : length // 4]
    starts = np.arange(0, size // 4, length // 4)
    return Messages(starts, lengths.astype(np.intp), size) if (lengths == length).all() else None


def _by_sequence(words: U32, size: int) -> Messages | None:
    """The messages of a dump share its sequence number, which hardly anything else has. That of events is 0."""
    sequence, end = words[2], size // 4
    if sequence == 0 or size % 4 or size < NLMSG_HEADER:
        return None
    starts = np.flatnonzero(words[2:end] == sequence)
    lengths = words[starts].astype(np.intp)
    ends = starts + (lengths + 3) // 4
    chained = starts[0] == 0 and ends[-1] == end and np.array_equal(ends[:-1], starts[1:])
    return Messages(starts, lengths, size) if chained and lengths.min() >= NLMSG_HEADER else None


def _walk(words: U32, size: int) -> Messages:
    view = words.data
    starts, lengths = [], []
    at = 0
    while at * 4 + NLMSG_HEADER <= size:
        length = view[at]
        if length < NLMSG_HEADER or at * 4 + length > size:
            break
        starts.append(at)
        lengths.append(length)
        at += (length + 3) // 4
    return Messages(np.array(starts, np.intp), np.array(lengths, np.intp), min(at * 4, size))


def gather(buffer: U8, starts: Rows, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """`dtype`[n]: what stands at each of the words `starts`. `dtype` is at most `SLACK` bytes.

    Not to be written to: where all are equally far apart, as messages of one length are, it is a view of `buffer`.
    """
    steps = starts[1:] - starts[:-1]
    if len(steps) and steps[0] >= 0 and (steps == steps[0]).all():
        return np.ndarray(len(starts), dtype, buffer, starts[0] * 4, (steps[0] * 4,))
    windows = np.ndarray((len(buffer) // 4 - dtype.itemsize // 4,), f"V{dtype.itemsize}", buffer, strides=(4,))
    return windows[starts].view(dtype)


class Place(NamedTuple):
    """An attribute's payload in each row: `starts` are words, `sizes` bytes. Absent: size 0, and zeros there."""

    starts: Rows  # int64[n]
    sizes: U16  # [n]

    def select(self, rows: Bools) -> "Place":
        """Only the given rows."""
        return Place(self.starts[rows], self.sizes[rows])


class Layout(NamedTuple):
    """The attributes of one message. `headers` are the words that decide it: (words from the start, value)."""

    length: int
    headers: list[tuple[int, int]]
    payloads: dict[int, tuple[int, int]]  # by attribute type: words from the message's start, bytes
    valid: bool


def learn(words: U32, messages: Messages) -> Layout:
    """Walk the attributes of one of the `messages`, which has the length that most of them have.

    Not valid when an attribute is shorter than its header or ends behind the message. Of two with one type the last
    counts, as in the kernel's own parser.
    """
    lengths = messages.lengths
    length = int(lengths[0]) if (lengths == lengths[0]).all() else int(np.bincount(lengths).argmax())
    start = int(messages.starts[(lengths == length).argmax()])
    halves = words.view(np.uint16)
    headers, payloads = [], {}
    offset = SOCKET_HEADER
    while length - offset >= ATTRIBUTE_HEADER:
        at = start + offset // 4
        size = int(halves[at * 2])
        headers.append((offset // 4, int(words[at])))
        if size < ATTRIBUTE_HEADER or offset + size > length:
            return Layout(length, headers, {}, valid=False)
        kind = int(halves[at * 2 + 1]) & NLA_TYPE_MASK
        payloads[kind] = ((offset + ATTRIBUTE_HEADER) // 4, size - ATTRIBUTE_HEADER)
        offset += (size + 3) // 4 * 4
    return Layout(length, headers, payloads, valid=True)


def locate(buffer: U8, messages: Messages, wanted: tuple[int, ...]) -> tuple[dict[int, Place], Bools]:
    """Where the attributes of the types `wanted` stand, and which rows have attributes that cannot be walked.

    Most messages have one layout. It is learnt from one of the commonest length, and holds for the rows in which every
    attribute's header is the same. What differs is learnt from its own first row, if need be row by row.
    """
    words = buffer.view(np.uint32)
    n, nowhere = len(messages.starts), (len(buffer) - SLACK) // 4
    places = {kind: Place(np.empty(n, np.intp), np.empty(n, np.uint16)) for kind in wanted}
    broken = np.zeros(n, np.bool_)
    rows: Rows | slice = slice(None)
    while len(messages.starts):
        layout = learn(words, messages)
        # As long as most rows are alike, it is cheapest to write all of them, and later the others again.
        for kind, place in places.items():
            offset, size = layout.payloads.get(kind, (0, 0))
            place.starts[rows] = messages.starts + offset if size else nowhere
            place.sizes[rows] = size
        broken[rows] = not layout.valid
        others = np.flatnonzero(~_has(words, messages, layout))
        rows = others if isinstance(rows, slice) else rows[others]
        messages = messages.select(others)
    return places, broken


def distinct(values: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """The values that occur, each once, in rising order. They must not be negative, nor large."""
    return values[:1] if (values == values[:1]).all() else np.flatnonzero(np.bincount(values))


def _has(words: U32, messages: Messages, layout: Layout) -> Bools:
    same: Bools = messages.lengths == layout.length
    for offset, header in layout.headers:
        same &= words[offset:].take(messages.starts, mode="clip") == header
    return same
