"""The client against servers that do everything wrong."""

import gzip
import itertools
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ss_pusher import __version__
from ss_pusher.send import http
from ss_pusher.send.auth import basic
from ss_pusher.send.exchange import Answer, Call, Failure, Outcome
from ss_pusher.send.http import MAX_BODY, MAX_OVERHEAD, MAX_TEXT, Client
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.tls import TlsSettings
from tests.send.certificates import Authority
from tests.send.scripted import Peer, Script, Scripted, head, reply, scripted, without_end
from tests.servers import free_port

LONG = 20.0
SHORT = 0.3
TOO_LATE = Failure("no complete answer before the deadline")


@contextmanager
def a_client(settings: HttpSettings | None = None) -> Iterator[Client]:
    client = Client(settings or HttpSettings())
    try:
        yield client
    finally:
        client.close()


def push(client: Client, url: str, within: float = LONG, body: bytes = b"data") -> Outcome:
    return client.send(Call("POST", url, {"Content-Type": "x/y"}, body), time.monotonic() + within)


def push_once(*scripts: Script, within: float = LONG, settings: HttpSettings | None = None) -> tuple[Outcome, Scripted]:
    with scripted(*scripts) as server, a_client(settings) as client:
        return push(client, server.url, within), server


def the_answer(outcome: Outcome) -> Answer:
    assert isinstance(outcome, Answer)
    return outcome


def test_a_request_arrives_as_it_was_given_and_names_us() -> None:
    outcome, server = push_once(reply(200, b"fine"), settings=HttpSettings(headers={"X-Scope-OrgID": "team-a"}))

    answer = the_answer(outcome)
    assert (answer.status, answer.text, answer.body) == (200, "fine", b"fine")
    (received,) = server.requests
    assert (received.method, received.path, received.body) == ("POST", "/push", b"data")
    assert received.headers == {
        "host": f"127.0.0.1:{server.port}",
        "user-agent": f"ss_pusher/{__version__}",
        "accept-encoding": "identity",
        "content-type": "x/y",
        "content-length": "4",
        "x-scope-orgid": "team-a",
    }


def test_a_path_is_sent_as_it_is() -> None:
    with scripted(reply()) as server, a_client() as client:
        push(client, f"{server.url}/job@base64/=/a%2Fb%7E/~+,;")

    assert server.requests[0].path == "/push/job@base64/=/a%2Fb%7E/~+,;"


# ---- connections ----------------------------------------------------------------------------------------------------


def test_pushes_share_one_connection() -> None:
    with scripted(reply(204), reply(500, b"an answer with a body"), reply()) as server, a_client() as client:
        for _ in range(4):
            push(client, server.url)

    assert server.connections == 1


def test_a_failure_closes_the_connection() -> None:
    with scripted(reply(), lambda peer: peer.wait_until_closed(), reply()) as server, a_client() as client:
        push(client, server.url)
        assert push(client, server.url, SHORT) == TOO_LATE
        assert the_answer(push(client, server.url)).status == 200

    assert server.connections == 2


@pytest.mark.parametrize("end", [Peer.reset, lambda peer: peer.sock.close()], ids=["reset", "closed"])
def test_a_kept_connection_that_the_server_ends_costs_nothing(end: Script) -> None:
    with scripted(reply(), end, reply()) as server, a_client() as client:
        push(client, server.url)
        assert the_answer(push(client, server.url)).status == 200

    assert server.connections == 2


def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    with scripted(reply(keep=False)) as server, a_client() as client:
        for _ in range(3):
            assert the_answer(push(client, server.url)).status == 200

    assert server.connections == 3


def test_a_new_connection_that_is_reset_is_a_failure_and_not_tried_again() -> None:
    outcome, server = push_once(Peer.reset)

    assert outcome == Failure("Connection reset by peer")
    assert server.connections == 1


def test_nobody_listens() -> None:
    port = free_port()
    with a_client() as client:
        assert push(client, f"http://127.0.0.1:{port}/") == Failure(f"127.0.0.1 port {port}: Connection refused")


def test_a_name_that_does_not_exist() -> None:
    with a_client() as client:
        outcome = push(client, "http://no-such-host.invalid/")

    assert isinstance(outcome, Failure)
    assert outcome.words.startswith("cannot resolve no-such-host.invalid: ")


def test_a_name_that_cannot_be_one() -> None:
    with a_client() as client:
        outcome = push(client, f"http://{'x' * 70}.invalid/")

    assert isinstance(outcome, Failure)
    assert "cannot resolve" in outcome.words


def test_a_dead_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(reply()) as server, socket.socket() as hole, a_client() as client:
        hole.bind(("127.0.0.2", server.port))
        hole.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # the backlog is full: the kernel drops every further SYN
        for sock in waiting:
            sock.setblocking(False)  # noqa: FBT003 - the method has no keyword
            sock.connect_ex(("127.0.0.2", server.port))
        real = socket.getaddrinfo

        def two(host: str, port: int, **kwargs: int) -> object:
            if host != "twin.example" or kwargs.get("flags"):
                return real(host, port, **kwargs)
            return [entry for address in ("127.0.0.2", "127.0.0.1") for entry in real(address, port, **kwargs)]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        assert the_answer(push(client, f"http://twin.example:{server.port}/", 2.0)).status == 200
        for sock in waiting:
            sock.close()


# ---- one deadline for everything ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        lambda peer: peer.wait_until_closed(),
        lambda peer: peer.drip(b"HTTP/1.1 200 " + b"x" * 500 + b"\r\n\r\n"),
        lambda peer: peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Drop: by drop\r\n" * 30 + b"Content-Length: 0\r\n\r\n"),
        lambda peer: peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
    ids=["silence", "status line", "headers", "endless continue"],
)
def test_a_dripping_server_cannot_stretch_the_deadline(script: Script) -> None:
    outcome, _ = push_once(script, within=SHORT)

    assert outcome == TOO_LATE


def test_a_dripping_body_cannot_stretch_the_deadline() -> None:
    def script(peer: Peer) -> None:
        peer.sock.sendall(head(503, {"Content-Length": "500"}) + b"going down ")
        peer.drip(b"x" * 489)

    with scripted(script) as server, a_client() as client:
        answer = the_answer(push(client, server.url, SHORT))
        assert server.broken.wait(LONG)  # it was cut off before its end

    assert answer.status == 503
    assert answer.text.startswith("going down x")
    assert len(answer.text) < 400


def test_a_server_that_does_not_read_cannot_stretch_the_deadline() -> None:
    def never_read(peer: Peer) -> None:
        peer.stop.wait(LONG)

    with scripted(reply(), connected=never_read) as server, a_client() as client:
        assert push(client, server.url, SHORT, b"x" * (64 << 20)) == TOO_LATE


# ---- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"],
    ids=["nothing", "half a status", "half a header", "no empty line"],
)
def test_half_an_answer_is_none(part: bytes) -> None:
    outcome, _ = push_once(lambda peer: peer.sock.sendall(part))

    assert isinstance(outcome, Failure)


def test_a_status_counts_though_its_body_is_cut_short() -> None:
    outcome, _ = push_once(lambda peer: peer.sock.sendall(head(400, {"Content-Length": "100"}) + b"too long"))

    answer = the_answer(outcome)
    assert (answer.status, answer.text) == (400, "too long")


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 100, b"HTTP/1.1 2oo OK\r\n\r\n", b"\n\n\n"])
def test_what_is_not_http_is_a_failure(garbage: bytes) -> None:
    outcome, _ = push_once(lambda peer: peer.sock.sendall(garbage))

    assert isinstance(outcome, Failure)
    assert outcome.words.isprintable()


@pytest.mark.parametrize("chunked", [False, True])
def test_an_endless_body_is_left_unread(*, chunked: bool) -> None:
    def script(peer: Peer) -> None:
        peer.sock.sendall(head(500, {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(1 << 62)}))
        while True:
            peer.sock.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n" if chunked else b"x" * 0x8000)

    with scripted(script) as server, a_client() as client:
        answer = the_answer(push(client, server.url))
        assert server.broken.wait(LONG)

    assert answer.body == b"x" * MAX_BODY
    assert answer.text == "x" * MAX_TEXT


def test_a_compressed_answer_is_never_unpacked() -> None:
    outcome, _ = push_once(reply(400, gzip.compress(b"x" * 1_000_000), Content_Encoding="gzip"))

    assert the_answer(outcome).text == "(an answer in gzip)"


def test_words_of_a_server_are_one_printable_line() -> None:
    hostile = "bad\r\nFATAL: forged\x1b[31m \u202egnp.exe \x00\u2028 \xff".encode() + b"\xff\xfe"
    outcome, _ = push_once(reply(400, hostile, Location="/else\x1b[2Jwhere"))

    answer = the_answer(outcome)
    assert answer.text == "bad FATAL: forged [31m gnp.exe ÿ��"
    assert answer.headers["location"] == "/else [2Jwhere"


def test_headers_without_end_are_a_failure() -> None:
    def script(peer: Peer) -> None:
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in itertools.count():
            peer.sock.sendall(b"X-%d: y\r\n" % number)

    outcome, _ = push_once(script)

    assert isinstance(outcome, Failure)


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
INTERIM = without_end(b"", CONTINUE)
TRAILERS = without_end(head(200, {"Transfer-Encoding": "chunked"}) + b"0\r\n", b"X-Trailer: y\r\n")


@pytest.fixture(params=["plain", "tls"])
def context(request: pytest.FixtureRequest, tmp_path: Path) -> ssl.SSLContext | None:
    return None if request.param == "plain" else Authority(tmp_path).sign("server").server_context()


def let_run_without_end(script: Script, context: ssl.SSLContext | None) -> Outcome:
    settings = HttpSettings(tls=TlsSettings(insecure_skip_verify=True))
    with scripted(script, context=context) as server, a_client(settings) as client:
        outcome = push(client, server.url, 10 * LONG)
        assert server.broken.wait(LONG)  # we went away before its end
    return outcome


def test_interim_answers_without_end_are_a_failure(context: ssl.SSLContext | None) -> None:
    assert let_run_without_end(INTERIM, context) == Failure("the server's answer has no end")


def test_trailers_without_end_are_left_unread(context: ssl.SSLContext | None) -> None:
    answer = the_answer(let_run_without_end(TRAILERS, context))

    assert (answer.status, answer.text) == (200, "")  # the status has been heard, and says it all


def test_many_interim_answers_are_none_too_many() -> None:
    many = CONTINUE * (MAX_OVERHEAD // len(CONTINUE) // 2)
    outcome, _ = push_once(lambda peer: peer.sock.sendall(many + head(204, {})))

    assert the_answer(outcome).status == 204


def test_each_answer_on_a_kept_connection_has_the_bound_for_itself() -> None:
    large = head(200, {"Content-Length": "0"} | {f"X-{n}": "y" * 1000 for n in range(80)})

    def script(peer: Peer) -> bool:
        peer.sock.sendall(large)
        return True

    with scripted(script) as server, a_client() as client:
        for _ in range(2 * MAX_OVERHEAD // len(large)):
            assert the_answer(push(client, server.url)).status == 200

    assert server.connections == 1


def test_the_framing_of_small_chunks_does_not_count_as_overhead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_OVERHEAD", MAX_BODY // 8)
    chunks = b"8\r\nxxxxxxxx\r\n" * (MAX_BODY // 8) + b"0\r\n\r\n"
    outcome, _ = push_once(lambda peer: peer.sock.sendall(head(200, {"Transfer-Encoding": "chunked"}) + chunks))

    assert the_answer(outcome).body == b"x" * MAX_BODY


# ---- credentials and redirects --------------------------------------------------------------------------------------


def test_credentials_that_a_server_echoes_do_not_reach_the_log() -> None:
    with scripted(reply(401, b"Bearer s3cr3t-t0k3n is unknown")) as server:
        client = Client(HttpSettings(), lambda *_, **__: {"Authorization": "Bearer s3cr3t-t0k3n"})
        answer = the_answer(push(client, server.url))
        client.close()

    assert server.requests[0].headers["authorization"] == "Bearer s3cr3t-t0k3n"
    assert answer.text == "Bearer <hidden> is unknown"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bad user edge:SECPASS", "bad user <hidden>"),
        ("edge, SECPASS is wrong", "edge, <hidden> is wrong"),
        ("Basic ZWRnZTpTRUNQQVNT?", "Basic <hidden>?"),
        ("the key K3Y-of-ours is revoked", "the key <hidden> is revoked"),
        ("Token t0k3n is revoked; so is t0k3n", "<hidden> is revoked; so is <hidden>"),
        ("proxy: carl:Pr0xy/pw; Y2FybDpQcjB4eS9wdw==; Pr0xy/pw", "proxy: <hidden>; <hidden>; <hidden>"),
    ],
)
def test_no_password_and_no_header_of_ours_that_a_server_echoes_reaches_the_log(text: str, shown: str) -> None:
    with scripted(reply(401, text.encode()), lambda peer: peer.sock.sendall(f"{text}\r\n".encode())) as server:
        settings = HttpSettings(
            headers={"X-Api-Key": "K3Y-of-ours", "X-Auth": "Token t0k3n", "X-Flag": "is"},
            proxy=f"http://carl:Pr0xy%2Fpw@127.0.0.1:{server.port}",
        )
        client = Client(settings, basic(lambda: "edge", lambda: "SECPASS"))
        assert the_answer(push(client, "http://push.example/")).text == shown
        outcome = push(client, "http://push.example/")  # where it says it is no HTTP
        client.close()

    assert isinstance(outcome, Failure)
    assert shown in outcome.words


def test_a_credential_that_http_cannot_carry_is_not_shown() -> None:
    with scripted(reply()) as server:
        client = Client(HttpSettings(), lambda *_, **__: {"Authorization": "Bearer two\nlines"})
        outcome = push(client, server.url)
        client.close()

    assert outcome == Failure("a configured header, user or token has characters that HTTP does not allow")


def test_a_credential_that_cannot_be_read_is_a_failure() -> None:
    def authorize(*_: object, **__: object) -> dict[str, str]:
        raise PermissionError(13, "password_file /run/secret: Permission denied")

    client = Client(HttpSettings(), authorize)

    assert push(client, "http://127.0.0.1:1/") == Failure("password_file /run/secret: Permission denied")


def test_a_redirect_is_an_answer() -> None:
    outcome, server = push_once(reply(308, Location="/elsewhere"))

    assert the_answer(outcome).headers["location"] == "/elsewhere"
    assert len(server.requests) == 1


def test_a_redirect_on_the_same_host_is_followed_where_that_is_wanted() -> None:
    scripts = [reply(307, Location="/elsewhere"), reply(204)]
    outcome, server = push_once(*scripts, settings=HttpSettings(follow_redirects=True))

    assert the_answer(outcome).status == 204
    assert [(r.method, r.path, r.body) for r in server.requests] == [
        ("POST", "/push", b"data"),
        ("POST", "/elsewhere", b"data"),
    ]


def test_a_redirect_to_another_host_is_never_followed() -> None:
    with (
        scripted(reply(204)) as other,
        scripted(reply(307, Location=other.url)) as server,
        a_client(HttpSettings(follow_redirects=True)) as client,
    ):
        assert the_answer(push(client, server.url)).status == 307

    assert other.connections == 0


def test_a_circle_of_redirects_ends() -> None:
    outcome, server = push_once(reply(307, Location="/push"), settings=HttpSettings(follow_redirects=True))

    assert the_answer(outcome).status == 307
    assert len(server.requests) == 5


# ---- the environment ------------------------------------------------------------------------------------------------


def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="ascii")
    netrc.chmod(0o600)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")

    outcome, server = push_once(reply())

    assert the_answer(outcome).status == 200
    assert server.requests[0].path == "/push"
    assert "authorization" not in server.requests[0].headers


def test_cookies_are_not_kept() -> None:
    with scripted(reply(200, b"", Set_Cookie="session=1; Path=/")) as server, a_client() as client:
        push(client, server.url)
        push(client, server.url)
        assert client._session is not None
        assert list(client._session.cookies) == []

    assert "cookie" not in server.requests[1].headers
