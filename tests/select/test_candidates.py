"""What is remembered of groups."""

import numpy as np
import pytest

from ss_pusher.model import U64
from ss_pusher.select import candidates
from ss_pusher.select.candidates import NOBODY, SMOOTHING, Candidates, match, observe, remember

ZEROS = np.zeros(9, np.uint64)


def words(*keys: int) -> U64:
    return np.array([keys], np.uint64)


def seen_once(keys: U64, hashes: U64, scores: list[float]) -> Candidates:
    none = Candidates.none(words=1, rankings=1)
    seen = match(none, keys, hashes, ZEROS[: len(hashes)])
    known, _ = observe(none, [(seen, np.array([scores]))], tick=1, seconds=SMOOTHING)
    return remember(known, np.ones(1))


def test_a_key_is_found_again() -> None:
    known = seen_once(words(7, 8), np.array([70, 60], np.uint64), [1, 1])
    seen = match(known, words(8, 9, 7), np.array([60, 90, 70], np.uint64), ZEROS[:3])
    assert known.words[0, seen.rows[[0, 2]]].tolist() == [8, 7]
    assert seen.rows[1] == NOBODY
    assert seen.fresh.tolist() == [False, True, False]


def test_a_key_with_the_hash_of_a_known_one_is_not_taken_for_it() -> None:
    known = seen_once(words(7), np.array([70], np.uint64), [1])
    seen = match(known, words(8), np.array([70], np.uint64), ZEROS[:1])
    assert seen.rows.tolist() == [NOBODY]
    assert seen.fresh.tolist() == [False]


def test_of_two_new_keys_with_one_hash_neither_becomes_a_candidate() -> None:
    seen = match(Candidates.none(1, 1), words(7, 8, 9), np.array([70, 70, 90], np.uint64), ZEROS[:3])
    assert seen.fresh.tolist() == [False, False, True]


def test_a_score_moves_towards_what_is_seen_and_decays_when_nothing_is() -> None:
    known = seen_once(words(7), np.array([70], np.uint64), [1.0])
    assert known.scores[0, 0] == pytest.approx(1 - np.exp(-1))
    known, _ = observe(known, [], tick=2, seconds=SMOOTHING)
    assert known.scores[0, 0] == pytest.approx((1 - np.exp(-1)) * np.exp(-1))


def test_what_is_remembered_is_bounded_and_the_most_promising(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_MOST_REMEMBERED", 3)
    keys = np.arange(10, dtype=np.uint64)
    known = seen_once(words(*keys.tolist()), keys, [1, 9, 3, 8, 2, 7, 0, 5, 6, 4])
    assert known.words[0].tolist() == [1, 3, 5]


def test_a_newcomer_is_weighed_by_what_it_showed_and_not_by_how_long_it_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "_MOST_REMEMBERED", 1)
    known = seen_once(words(7), np.array([70], np.uint64), [10.0])
    for tick in range(2, 100):
        seen = match(known, words(7), np.array([70], np.uint64), ZEROS[:1])
        known, _ = observe(known, [(seen, np.array([[10.0]]))], tick, 1.0)
    both = match(known, words(7, 8), np.array([70, 80], np.uint64), ZEROS[:2])
    known, _ = observe(known, [(both, np.array([[10.0, 11.0]]))], 100, 1.0)
    assert remember(known, np.ones(1)).words[0].tolist() == [8]
