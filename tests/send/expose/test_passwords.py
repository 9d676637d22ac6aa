"""Passwords by their hashes: right decisions, at a bounded cost."""

from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from ss_pusher.app.late import bcrypt_matches
from ss_pusher.send.expose.passwords import Decision, Passwords

ALICE, BOB = (bcrypt.hashpw(password, bcrypt.gensalt(4)) for password in (b"s3cret", b"hunter2"))
USERS = {b"alice": ALICE, b"bob": BOB}


class Hashing:
    """The real hash, counted, on a clock of its own on which each takes so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.now = 100.0
        self.asked: list[bytes] = []

    def verify(self, password: bytes, hashed: bytes) -> bool:
        self.asked.append(hashed)
        self.now += self.seconds
        return bcrypt_matches(password, hashed)

    def passwords(self) -> Passwords:
        return Passwords(self.verify, lambda: self.now)


@pytest.mark.parametrize(
    ("user", "password", "decision"),
    [
        (b"alice", b"s3cret", Decision.ACCEPTED),
        (b"bob", b"hunter2", Decision.ACCEPTED),
        (b"alice", b"hunter2", Decision.REFUSED),
        (b"alice", b"", Decision.REFUSED),
        (b"alice", b"s3cret\0", Decision.REFUSED),
        (b"alice", b"x" * 1000, Decision.REFUSED),
        (b"alic", b"es3cret", Decision.REFUSED),
        (b"mallory", b"s3cret", Decision.REFUSED),
        (b"", b"", Decision.REFUSED),
    ],
)
def test_only_a_users_own_password_is_right(user: bytes, password: bytes, decision: Decision) -> None:
    passwords = Hashing().passwords()
    assert [passwords.check(USERS, user, password) for _ in range(2)] == [decision, decision]


def test_of_a_long_password_the_first_72_bytes_count_as_bcrypt_has_it() -> None:
    users = {b"alice": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))}
    passwords = Hashing().passwords()
    assert passwords.check(users, b"alice", b"x" * 80) is Decision.ACCEPTED
    assert passwords.check(users, b"alice", b"x" * 71) is Decision.REFUSED


def test_a_right_password_is_hashed_once_for_as_long_as_its_hash_stays() -> None:
    hashing = Hashing()
    passwords = hashing.passwords()
    for _ in range(3):
        for user, password in ((b"alice", b"s3cret"), (b"bob", b"hunter2")):
            assert passwords.check(USERS, user, password) is Decision.ACCEPTED
    assert len(hashing.asked) == 2
    assert passwords.check({b"alice": BOB}, b"alice", b"s3cret") is Decision.REFUSED
    assert passwords.check({b"bob": BOB}, b"alice", b"s3cret") is Decision.REFUSED


def test_a_user_that_there_is_not_costs_a_hash_as_well() -> None:
    hashing = Hashing()
    assert hashing.passwords().check(USERS, b"mallory", b"s3cret") is Decision.REFUSED
    assert hashing.asked == [ALICE]


def test_guessing_costs_at_most_a_twentieth_of_the_time_and_hurts_nobody_who_is_known() -> None:
    hashing = Hashing(seconds=0.06)
    passwords = hashing.passwords()
    assert passwords.check(USERS, b"alice", b"s3cret") is Decision.ACCEPTED
    began, hashes = hashing.now, len(hashing.asked)
    while hashing.now < began + 1000:
        if passwords.check(USERS, b"bob", b"guess %d" % len(hashing.asked)) is Decision.LATER:
            assert passwords.check(USERS, b"alice", b"s3cret") is Decision.ACCEPTED
            hashing.now += 0.1
    spent = (len(hashing.asked) - hashes) * hashing.seconds
    assert 0.9 * 1000 / 20 < spent < 1000 / 20 + 2


def test_a_hash_that_takes_longer_than_what_may_come_at_once_is_still_tried() -> None:
    hashing = Hashing(seconds=3.0)
    passwords = hashing.passwords()
    assert passwords.check(USERS, b"alice", b"wrong") is Decision.REFUSED
    assert passwords.check(USERS, b"alice", b"s3cret") is Decision.LATER
    hashing.now += 60
    assert passwords.check(USERS, b"alice", b"s3cret") is Decision.ACCEPTED


def test_many_at_once_get_right_answers() -> None:
    passwords = Hashing().passwords()
    with ThreadPoolExecutor(8) as pool:
        right = pool.map(lambda n: passwords.check(USERS, b"alice", b"s3cret" if n % 2 else b"wrong"), range(40))
    assert list(right) == [Decision.ACCEPTED if n % 2 else Decision.REFUSED for n in range(40)]
