"""TLS of an endpoint: who is trusted, what is shown, and the deadline in the handshake and after it."""

import os
import shutil
import ssl
import time
from pathlib import Path

import pytest

from ss_pusher.send.exchange import Answer, Call, Failure, Outcome
from ss_pusher.send.http import Client
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.tls import TlsSettings
from tests.send.certificates import Authority
from tests.send.endpoints import is_accepted, post
from tests.send.scripted import Peer, head, reply, scripted

LONG = 20.0
SHORT = 0.3


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def push(url: str, settings: TlsSettings, within: float = LONG) -> Outcome:
    return post(url, HttpSettings(tls=settings), within)


def test_a_server_of_our_own_authority_is_trusted_and_its_connection_kept(authority: Authority) -> None:
    context = authority.sign("server").server_context()
    with scripted(reply(), context=context) as server:
        client = Client(HttpSettings(tls=TlsSettings(ca_file=authority.file)))
        for _ in range(2):
            assert is_accepted(client.send(Call("POST", server.url), time.monotonic() + LONG))
        client.close()

    assert server.connections == 1


def test_a_server_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    with scripted(reply(), context=authority.sign("server").server_context()) as server:
        outcome = push(server.url, TlsSettings(ca_file=other.file))
        by_system = push(server.url, TlsSettings())

    assert outcome == by_system == Failure("the server's certificate: unable to get local issuer certificate")
    assert server.requests == []


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    with scripted(reply(), context=authority.sign("server", days=-1).server_context()) as server:
        outcome = push(server.url, TlsSettings(ca_file=authority.file))

    assert outcome == Failure("the server's certificate: certificate has expired")


def test_a_certificate_for_another_name_is_refused_unless_that_name_is_expected(authority: Authority) -> None:
    asked_for: list[str | None] = []
    context = authority.sign("server", host="push.example").server_context()
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    with scripted(reply(), context=context) as server:
        refused = push(server.url, TlsSettings(ca_file=authority.file))
        accepted = push(server.url, TlsSettings(ca_file=authority.file, server_name="push.example"))

    assert isinstance(refused, Failure)
    assert "not valid for '127.0.0.1'" in refused.words
    assert is_accepted(accepted)
    assert asked_for == [None, "push.example"]


def test_no_certificate_is_looked_at_where_the_user_says_so(authority: Authority) -> None:
    context = authority.sign("server", days=-1, host="push.example").server_context()
    with scripted(reply(), context=context) as server:
        assert is_accepted(push(server.url, TlsSettings(insecure_skip_verify=True)))


def test_our_own_certificate_is_shown(authority: Authority) -> None:
    ours = authority.sign("client")
    context = authority.sign("server").server_context(clients=authority.file)
    with scripted(reply(), context=context) as server:
        with_ours = TlsSettings(ca_file=authority.file, cert_file=ours.certificate, key_file=ours.key)
        assert is_accepted(push(server.url, with_ours))
        assert isinstance(push(server.url, TlsSettings(ca_file=authority.file)), Failure)

    assert len(server.requests) == 1


def test_files_that_change_are_read_again(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    trusted = tmp_path / "trusted.pem"
    shutil.copy(other.file, trusted)
    client = Client(HttpSettings(tls=TlsSettings(ca_file=trusted)))
    with scripted(reply(), context=authority.sign("server").server_context()) as server:
        assert isinstance(client.send(Call("POST", server.url), time.monotonic() + LONG), Failure)
        shutil.copy(authority.file, trusted)
        assert is_accepted(client.send(Call("POST", server.url), time.monotonic() + LONG))
        shutil.copy(other.file, trusted)
        assert isinstance(client.send(Call("POST", server.url), time.monotonic() + LONG), Failure)
    client.close()


@pytest.mark.parametrize("name", ["ca_file", "cert_file"])
def test_a_file_that_cannot_be_used_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.pem"
    settings = TlsSettings(ca_file=file) if name == "ca_file" else TlsSettings(cert_file=file)

    missing = push("https://127.0.0.1:1/", settings)
    file.write_text("no certificate", encoding="ascii")
    broken = push("https://127.0.0.1:1/", settings)

    for outcome in (missing, broken):
        assert isinstance(outcome, Failure)
        assert outcome.words.startswith(f"{name} {file}")


def test_an_old_version_of_tls_is_refused(authority: Authority) -> None:
    context = authority.sign("server").server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with scripted(reply(), context=context) as server:
        assert is_accepted(push(server.url, TlsSettings(ca_file=authority.file)))
        outcome = push(server.url, TlsSettings(ca_file=authority.file, min_version="TLS13"))

    assert isinstance(outcome, Failure)
    assert outcome.words.startswith("TLS: ")


def test_a_server_that_does_not_speak_tls_is_a_failure() -> None:
    with scripted(connected=lambda peer: peer.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        outcome = push(server.url.replace("http:", "https:"), TlsSettings())

    assert outcome == Failure("TLS: WRONG_VERSION_NUMBER")


def test_a_dripping_handshake_cannot_stretch_the_deadline() -> None:
    record = bytes([22, 3, 3, 0x20, 0]) + b"\x02" * 0x2000  # the header of a handshake record, and its slow content

    with scripted(connected=lambda peer: peer.drip(record)) as server:
        outcome = push(server.url.replace("http:", "https:"), TlsSettings(), SHORT)

    assert outcome == Failure("no complete answer before the deadline")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n" + b"X-Drop: by drop\r\n" * 30 + b"Content-Length: 0\r\n\r\n"]
)
def test_a_server_that_drips_in_tls_cannot_stretch_the_deadline(authority: Authority, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.drip(answer)
        peer.wait_until_closed()

    with scripted(script, context=authority.sign("server").server_context()) as server:
        outcome = push(server.url, TlsSettings(ca_file=authority.file), SHORT)

    assert outcome == Failure("no complete answer before the deadline")


def test_a_dripping_body_in_tls_cannot_stretch_the_deadline(authority: Authority) -> None:
    def script(peer: Peer) -> None:
        peer.sock.sendall(head(503, {"Content-Length": "500"}))
        peer.drip(b"x" * 500)

    with scripted(script, context=authority.sign("server").server_context()) as server:
        outcome = push(server.url, TlsSettings(ca_file=authority.file), SHORT)
        assert server.broken.wait(LONG)

    assert isinstance(outcome, Answer)
    assert outcome.status == 503


def test_an_answer_cut_off_in_tls_is_none(authority: Authority) -> None:
    def script(peer: Peer) -> None:
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\n")

    with scripted(script, context=authority.sign("server").server_context()) as server:
        outcome = push(server.url, TlsSettings(ca_file=authority.file))

    assert outcome == Failure("the server closed the connection without a complete answer")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for settings in (TlsSettings(ca_file=pipe), TlsSettings(cert_file=pipe), TlsSettings(ca_file=Path("/dev/zero"))):
        outcome = push("https://127.0.0.1:9/", settings)
        assert isinstance(outcome, Failure)
        assert outcome.words.endswith("; name a regular file")
