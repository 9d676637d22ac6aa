"""TLS towards real clients: openssl's and Python's."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from ss_pusher.send.expose import ExposeServer, Guard, Protection
from ss_pusher.send.expose.passwords import Passwords
from ss_pusher.send.expose.server import MAX_CONNECTIONS
from ss_pusher.send.expose.tls import ServerTls, make_server_context
from tests.send.certificates import Authority, Pair
from tests.send.expose.showing import LOOPBACK, connect, showing


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.sign("server")


def settings(pair: Pair, **more: object) -> ServerTls:
    return ServerTls(cert_file=pair.certificate, key_file=pair.key, **more)  # type: ignore[arg-type] # by name


@contextmanager
def protected(tls: ServerTls, names: frozenset[str] = frozenset()) -> Iterator[ExposeServer]:
    def load() -> Protection:
        return Protection(context=make_server_context(tls), client_names=names, files=tls.files())

    with showing(Guard(load, Passwords(lambda _password, _hashed: False))) as server:
        yield server


def text(server: ExposeServer, authority: Authority, client: Pair | None = None) -> str:
    cert = (str(client.certificate), str(client.key)) if client else None
    return requests.get(
        f"https://{LOOPBACK}:{server.port}/metrics", verify=str(authority.file), cert=cert, timeout=10
    ).text


def test_a_client_that_trusts_the_authority_is_answered(authority: Authority, pair: Pair) -> None:
    with protected(settings(pair)) as server:
        assert text(server, authority) == "text 7"


def test_those_who_do_not_speak_tls_get_nothing(authority: Authority, pair: Pair) -> None:
    with protected(settings(pair)) as server:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{LOOPBACK}:{server.port}/metrics", timeout=10)
        assert text(server, authority) == "text 7"


def test_handshakes_that_do_not_come_hold_up_nobody(authority: Authority, pair: Pair) -> None:
    with protected(settings(pair)) as server:
        silent = [connect(server) for _ in range(MAX_CONNECTIONS - 1)]
        assert text(server, authority) == "text 7"
        for client in silent:
            client.close()


def test_only_a_certificate_of_the_clients_authority_is_let_in_where_that_is_wanted(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    other = Authority(tmp_path, "other")
    tls = settings(pair, client_auth="RequireAndVerifyClientCert", client_ca_file=authority.file)
    with protected(tls) as server:
        assert text(server, authority, authority.sign("scraper")) == "text 7"
        for client in (None, other.sign("stranger"), authority.sign("expired", days=-1)):
            with pytest.raises(requests.ConnectionError):
                text(server, authority, client)


def test_a_certificate_that_may_be_left_out_must_be_right_when_it_is_not(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    tls = settings(pair, client_auth="VerifyClientCertIfGiven", client_ca_file=authority.file)
    with protected(tls) as server:
        assert text(server, authority) == "text 7"
        assert text(server, authority, authority.sign("scraper")) == "text 7"
        with pytest.raises(requests.ConnectionError):
            text(server, authority, Authority(tmp_path, "other").sign("stranger"))


@pytest.mark.parametrize("host", ["scraper.example", "192.0.2.7", "2001:db8::7"])
def test_only_a_certificate_with_an_allowed_name_is_let_in(authority: Authority, pair: Pair, host: str) -> None:
    tls = settings(pair, client_auth="RequireAndVerifyClientCert", client_ca_file=authority.file)
    with protected(tls, frozenset({host})) as server:
        assert text(server, authority, authority.sign("right", host=host)) == "text 7"
        with pytest.raises(requests.ConnectionError):
            text(server, authority, authority.sign("wrong", host="other.example"))


@pytest.mark.parametrize(
    ("tls", "version", "speaks"),
    [
        ({}, ssl.TLSVersion.TLSv1_2, True),
        ({"min_version": "TLS13"}, ssl.TLSVersion.TLSv1_2, False),
        ({"max_version": "TLS12"}, ssl.TLSVersion.TLSv1_2, True),
        ({"max_version": "TLS12"}, ssl.TLSVersion.TLSv1_3, False),
    ],
)
def test_versions_outside_the_bounds_are_refused(
    authority: Authority,
    pair: Pair,
    tls: dict[str, str],
    version: ssl.TLSVersion,
    speaks: bool,  # noqa: FBT001 - expected
) -> None:
    context = ssl.create_default_context(cafile=authority.file)
    context.minimum_version = context.maximum_version = version
    with protected(settings(pair, **tls)) as server:
        try:
            with context.wrap_socket(connect(server), server_hostname=LOOPBACK) as client:
                assert client.version() == version.name.replace("_", ".")
                spoke = True
        except (ssl.SSLError, ConnectionResetError):
            spoke = False
    assert spoke is speaks


def test_the_suites_that_are_named_are_the_only_ones(authority: Authority, pair: Pair) -> None:
    context = ssl.create_default_context(cafile=authority.file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = settings(pair, ciphers=("ECDHE-ECDSA-AES128-GCM-SHA256",))
    with protected(tls) as server, context.wrap_socket(connect(server), server_hostname=LOOPBACK) as client:
        assert client.cipher() is not None
        assert (client.cipher() or "")[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"


def test_a_renewed_certificate_is_shown_from_the_next_connection_on(authority: Authority, pair: Pair) -> None:
    def shown(server: ExposeServer) -> bytes | None:
        context = ssl.create_default_context(cafile=authority.file)
        with context.wrap_socket(connect(server), server_hostname=LOOPBACK) as client:
            return client.getpeercert(binary_form=True)

    with protected(settings(pair)) as server:
        before = shown(server)
        assert shown(server) == before
        renewed = authority.sign("renewed")
        renewed.key.replace(pair.key)
        renewed.certificate.replace(pair.certificate)
        assert shown(server) not in (before, None)


@pytest.mark.parametrize("broken", ["cert_file", "key_file", "client_ca_file"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, authority: Authority, pair: Pair, broken: str) -> None:
    for content in (None, b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"):
        file = tmp_path / "broken.pem"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        files = {"cert_file": pair.certificate, "key_file": pair.key, "client_ca_file": authority.file, broken: file}
        with pytest.raises(OSError, match=f"{broken} {file}"):
            make_server_context(ServerTls(**files))  # type: ignore[arg-type] # by name


def test_a_key_of_another_certificate_is_refused(authority: Authority, pair: Pair) -> None:
    other = authority.sign("other")
    with pytest.raises(OSError, match="key_file"):
        make_server_context(ServerTls(cert_file=pair.certificate, key_file=other.key))


def test_a_client_that_vanishes_in_its_handshake_is_no_trouble(authority: Authority, pair: Pair) -> None:
    with protected(settings(pair)) as server:
        for sent in (b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"):
            with connect(server) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets
                client.sendall(sent)
        assert text(server, authority) == "text 7"
