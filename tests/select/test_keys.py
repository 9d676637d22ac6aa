"""Hashes of keys, and the keys of the remainder."""

import numpy as np
import pytest

from ss_pusher.model import OTHER_WORD, Direction, KeyPart
from ss_pusher.select.keys import hashed, remainder_keys, remainder_of
from tests.select.build import LAYOUT, key, other

EVERY_BIT = [1 << bit for bit in range(64)]


def test_every_bit_of_every_word_counts() -> None:
    random = np.random.default_rng(1)
    multipliers = random.integers(0, 2**64, (3, 2), np.uint64, endpoint=False)
    keys = [(0, 0, 0), *(tuple(bit if word == at else 0 for word in range(3)) for at in range(3) for bit in EVERY_BIT)]
    assert len(set(hashed(np.array(keys, np.uint64).T, multipliers).tolist())) == len(keys)


def test_differences_that_cancel_in_a_plain_product_do_not_cancel() -> None:
    random = np.random.default_rng(2)
    keys = np.array([[0, 0], [1 << 63, 1 << 63]], np.uint64)  # times odd numbers, these meet
    for _ in range(100):
        first, second = hashed(keys.T, random.integers(0, 2**64, (2, 2), np.uint64, endpoint=False))
        assert first != second


def test_there_is_a_remainder_for_each_direction() -> None:
    assert remainder_keys(LAYOUT).T.tolist() == [list(other(Direction.IN)), list(other(Direction.OUT))]


@pytest.mark.parametrize("layout", [(), (KeyPart("unit", 0, 1),), (KeyPart("remote_address", 0, 3),)])
def test_without_a_direction_there_is_one_remainder(layout: tuple[KeyPart, ...]) -> None:
    assert remainder_keys(layout).T.tolist() == [[OTHER_WORD] * sum(part.width for part in layout)]


def test_each_key_knows_its_remainder_and_whether_it_is_that() -> None:
    keys = [key("192.0.2.1"), key("192.0.2.1", direction=2), other(2), (2, *[OTHER_WORD] * 3, 443)]
    home, same = remainder_of(np.array(keys, np.uint64).T, LAYOUT)
    assert home.tolist() == [0, 1, 1, 1]
    assert same.tolist() == [False, False, True, False]
