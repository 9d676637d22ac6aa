"""Who may ask, by files that change."""

import base64
import os
from http import HTTPStatus
from pathlib import Path

import bcrypt
import pytest

from ss_pusher.app.late import bcrypt_matches
from ss_pusher.errors import ConfigError
from ss_pusher.send.expose import Guard, Protection
from ss_pusher.send.expose.passwords import Passwords


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Rules:
    """A file whose lines are users and passwords, and a second file that it needs."""

    def __init__(self, directory: Path) -> None:
        self.file, self.needed = directory / "rules", directory / "needed"
        self.needed.touch()
        self.now = 0.0
        self.reads = 0

    def write(self, text: str) -> None:
        """As editors do: another file in its place, so that each version has an inode of its own."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)

    def load(self) -> Protection:
        self.reads += 1
        if "broken" in self.file.read_text() or not self.needed.exists():
            raise ConfigError(["rules:1: broken"])
        pairs = [line.split(":") for line in self.file.read_text().split()]
        users = {user.encode(): bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)) for user, password in pairs}
        return Protection(users=users, files=(self.file, self.needed))

    def guard(self) -> Guard:
        return Guard(self.load, Passwords(bcrypt_matches), lambda: self.now)


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    rules = Rules(tmp_path)
    rules.write("alice:s3cret")
    return rules


def status(guard: Guard, authorization: str) -> HTTPStatus:
    refusal = guard.refusal(authorization)
    return refusal.status if refusal else HTTPStatus.OK


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic !",
        "Basic YWxpY2U",  # "alice" without padding
        "Basic YWxpY2U=",  # "alice" without a colon
        "Bearer " + basic("alice", "s3cret").partition(" ")[2],
        basic("alice", "s3cret") + ", " + basic("alice", "s3cret"),
        basic("alice", "s3cret") + "\x80",
        "Basic é",
        basic("alice", "wrong"),
        basic("bob", "s3cret"),
    ],
)
def test_nobody_is_let_in_without_a_users_password(rules: Rules, authorization: str) -> None:
    refusal = rules.guard().refusal(authorization)
    assert refusal is not None
    assert refusal.status == HTTPStatus.UNAUTHORIZED
    assert refusal.headers["WWW-Authenticate"] == "Basic"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_a_users_password_lets_in(rules: Rules, scheme: str) -> None:
    assert status(rules.guard(), basic("alice", "s3cret").replace("Basic", scheme)) == HTTPStatus.OK


def test_without_users_everybody_is_let_in(rules: Rules) -> None:
    rules.write("")
    assert status(rules.guard(), "") == HTTPStatus.OK


def test_another_file_holds_at_once_and_is_read_once(rules: Rules) -> None:
    guard = rules.guard()
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.OK
    rules.write("alice:changed")
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.UNAUTHORIZED
    before = rules.reads
    assert status(guard, basic("alice", "changed")) == HTTPStatus.OK
    assert rules.reads == before
    os.utime(rules.needed, (1, 1))
    assert status(guard, basic("alice", "changed")) == HTTPStatus.OK
    assert rules.reads > before


def test_while_the_file_cannot_be_used_nobody_is_let_in_and_the_log_says_it_once(
    rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    guard = rules.guard()
    rules.write("broken")
    for _ in range(3):
        assert status(guard, basic("alice", "s3cret")) == HTTPStatus.INTERNAL_SERVER_ERROR
        rules.now += 2
    assert caplog.messages == ["expose: nobody is let in until this is mended: rules:1: broken"]


def test_what_is_mended_holds_within_a_second_though_the_file_itself_did_not_change(rules: Rules) -> None:
    guard = rules.guard()
    rules.needed.unlink()
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.INTERNAL_SERVER_ERROR
    reads = rules.reads
    assert status(guard, "") == HTTPStatus.INTERNAL_SERVER_ERROR
    assert rules.reads == reads
    rules.needed.touch()
    rules.now += 1
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.OK


def test_a_guard_that_begins_with_a_file_that_cannot_be_used_knows_no_protection_until_it_can(
    rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    rules.write("broken")
    guard = rules.guard()
    assert guard.protection() is None
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.INTERNAL_SERVER_ERROR
    assert caplog.messages == ["expose: nobody is let in until this is mended: rules:1: broken"]
    rules.write("alice:s3cret")
    rules.now += 1
    assert status(guard, "") == HTTPStatus.UNAUTHORIZED
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.OK


def test_whoever_guesses_too_much_is_told_to_come_back_later_and_nobody_else_is(rules: Rules) -> None:
    def slow(password: bytes, hashed: bytes) -> bool:
        rules.now += 0.6
        return bcrypt_matches(password, hashed)

    guard = Guard(rules.load, Passwords(slow, lambda: rules.now))
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.OK
    assert status(guard, basic("alice", "wrong")) == HTTPStatus.UNAUTHORIZED
    refusal = guard.refusal(basic("alice", "wrong"))
    assert refusal is not None
    assert (refusal.status, refusal.headers["Retry-After"]) == (HTTPStatus.TOO_MANY_REQUESTS, "5")
    assert status(guard, basic("alice", "s3cret")) == HTTPStatus.OK
    assert status(guard, "") == HTTPStatus.UNAUTHORIZED
