"""The protobuf wire format, as far as the encoders write it themselves: https://protobuf.dev/programming-guides/encoding."""

from typing import Final

from ss_pusher.errors import EncodeError

_LARGEST_OF_ONE_BYTE: Final = 0x7F

TIMESTAMP_SIZE: Final = 6
"""A time in milliseconds since 1970 is written as a varint of six bytes, which reach until the year 2109."""

TIMESTAMP_LIMIT: Final = 1 << 7 * TIMESTAMP_SIZE


def varint(number: int) -> bytes:
    """`number`, which is not negative, in groups of seven bits, the lowest first."""
    groups = bytearray()
    while number > _LARGEST_OF_ONE_BYTE:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def zigzag(number: int) -> bytes:
    """A sint32 or sint64: small numbers are short, whatever their sign."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def delimited(tag: int, payload: bytes) -> bytes:
    """A field of wire type 2 (string, bytes, message, packed): its tag, its length, itself."""
    size = len(payload)
    if size <= _LARGEST_OF_ONE_BYTE:
        return bytes((tag, size)) + payload
    return bytes((tag,)) + varint(size) + payload


def timestamp(time_ms: int) -> bytes:
    """`time_ms` as a varint of exactly `TIMESTAMP_SIZE` bytes: high groups that are zero are written too.

    Raises:
        EncodeError: the time is before 1970 or after 2109.
    """
    if not 0 <= time_ms < TIMESTAMP_LIMIT:
        raise EncodeError(f"the time {time_ms} ms is outside the years 1970 to 2109: is the clock right?")
    groups = [time_ms >> shift & 0x7F | 0x80 for shift in range(0, 7 * TIMESTAMP_SIZE, 7)]
    groups[-1] &= 0x7F
    return bytes(groups)
