"""Credentials: how they are written, where they are read, when they are read again."""

import os
import time
from pathlib import Path

import pytest

from ss_pusher.send.auth import SecretFile, authorization, basic
from ss_pusher.send.exchange import Call, Failure
from ss_pusher.send.http import Authorize, Client
from ss_pusher.send.session import HttpSettings

LONG = 20.0
ANY = Call("POST", "http://any/")


def soon() -> float:
    return time.monotonic() + LONG


def header(authorize: Authorize) -> str:
    headers = authorize(ANY, soon(), refused=False)
    assert set(headers) == {"Authorization"}
    return headers["Authorization"]


def test_basic_is_that_of_the_rfc() -> None:
    assert header(basic(lambda: "Aladdin", lambda: "open sesame")) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert header(basic(lambda: "test", lambda: "123£")) == "Basic dGVzdDoxMjPCow=="  # RFC 7617, section 2.1


def test_any_scheme_can_be_named() -> None:
    assert header(authorization("Bearer", lambda: "mF_9.B5f-4.1JqM")) == "Bearer mF_9.B5f-4.1JqM"


def test_a_secret_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" first\n", encoding="utf-8")
    secret = SecretFile(file)
    assert secret() == "first"

    file.write_text("other", encoding="utf-8")
    assert secret() == "other"
    _with(tmp_path / "next", "third").replace(file)  # as Kubernetes and systemd do
    assert secret() == "third"


def _with(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_a_secret_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = SecretFile(_with(tmp_path / "token", "first"))
    secret()
    monkeypatch.setattr(os, "open", lambda *_, **__: pytest.fail("it was read"))

    assert secret() == "first"


def test_a_secret_that_cannot_be_read_names_its_file_and_is_never_the_old_one(tmp_path: Path) -> None:
    file = _with(tmp_path / "token", "first")
    secret = SecretFile(file)
    secret()
    file.unlink()
    with pytest.raises(OSError, match=f"cannot read {file}: No such file or directory"):
        secret()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(OSError, match=f"cannot read {file}: it is not UTF-8"):
        secret()


def test_a_secret_that_is_no_file_is_not_waited_for_nor_read_for_ever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    for path, kind in ((tmp_path / "token", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(OSError, match=f"nothing was sent: cannot read {path}: it is {kind}"):
            SecretFile(path)()


def test_an_empty_secret_is_never_sent(tmp_path: Path) -> None:
    file = _with(tmp_path / "token", "\n")
    with pytest.raises(OSError, match=f"nothing was sent: cannot read {file}: it is empty"):
        SecretFile(file)()


def test_a_missing_secret_is_a_failure_of_the_push_that_shows_in_the_log(tmp_path: Path) -> None:
    client = Client(HttpSettings(), authorization("Bearer", SecretFile(tmp_path / "token")))
    outcome = client.send(ANY, soon())

    assert outcome == Failure(f"nothing was sent: cannot read {tmp_path / 'token'}: No such file or directory")
