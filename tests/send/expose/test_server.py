"""The listening socket, asked over real connections by clients that behave and by others."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from http import HTTPStatus

import pytest
import requests

from ss_pusher.errors import AddressInUseError
from ss_pusher.model import Snapshot
from ss_pusher.send.expose import ExposeServer, Exposition, Format, connection
from ss_pusher.send.expose import server as expose_server
from ss_pusher.send.expose.request import MAX_HEAD
from ss_pusher.send.expose.server import MAX_CONNECTIONS
from tests.send.expose.showing import (
    LOOPBACK,
    PATIENCE,
    Clock,
    Written,
    ask,
    connect,
    showing,
    snapshot,
    told,
    variants,
)
from tests.waiting import wait_for

GET = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def server() -> Iterator[ExposeServer]:
    with showing() as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_REQUEST", "NEXT_REQUEST", "ANSWER"):
        monkeypatch.setattr(connection, name, 0.2)


def url(server: ExposeServer, path: str = "/metrics") -> str:
    return f"http://{LOOPBACK}:{server.port}{path}"


def serves(count: int) -> bool:
    return clients() == count


def clients() -> int:
    return sum(thread.name == "expose client" for thread in threading.enumerate())


def test_a_get_is_answered_and_a_head_with_the_same_headers_only(server: ExposeServer) -> None:
    full, head = requests.get(url(server), timeout=5), requests.head(url(server), timeout=5)
    assert (full.status_code, full.text) == (HTTPStatus.OK, "text 7")
    assert (head.status_code, head.content) == (HTTPStatus.OK, b"")
    for name in ("Content-Type", "Content-Length", "Content-Encoding", "Vary"):
        assert head.headers[name] == full.headers[name]
    assert ask(server, LAST.replace(b"GET", b"HEAD")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FETCH"])
def test_other_methods_are_not_allowed(server: ExposeServer, method: str) -> None:
    answer = requests.request(method, url(server), data=b"x" * 100_000, timeout=5)
    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert answer.headers["Allow"] == "GET, HEAD"


def test_a_connection_serves_one_request_after_the_other_also_when_they_come_at_once(server: ExposeServer) -> None:
    answers = ask(server, GET * 3 + LAST)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert answers.count(b"Connection: close") == 1


def test_a_body_is_never_taken_for_a_request(server: ExposeServer) -> None:
    body = b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(GET) + GET
    assert ask(server, body).count(b"HTTP/1.1 ") == 1


def test_what_is_no_request_is_refused(server: ExposeServer) -> None:
    assert ask(server, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "part", [b"GET /%s", b"GET / HTTP/1.1\r\nHost: %s", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 9999 + b"%s"]
)
def test_a_head_without_end_is_refused(server: ExposeServer, part: bytes) -> None:
    answer = ask(server, part % (b"x" * (2 * MAX_HEAD)))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert clients() <= 1


def test_a_head_that_is_complete_but_too_long_is_refused(server: ExposeServer) -> None:
    assert ask(server, GET[:-2] + b"X: " + b"x" * MAX_HEAD + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("before", [b"", GET])
def test_a_client_that_drips_is_not_held_longer_for_it(server: ExposeServer, before: bytes) -> None:
    dripped = 0
    with connect(server) as client:
        client.sendall(before)
        try:
            while dripped < 1000:  # 50 s, if each byte bought more time
                client.sendall(b"x")
                dripped += 1
                client.settimeout(0.05)
                try:
                    if not client.recv(1000):
                        break
                except TimeoutError:
                    pass
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert dripped < 100
    wait_for(lambda: clients() == 0, "the end of its thread")


@pytest.mark.usefixtures("impatient")
def test_a_client_that_does_not_read_is_let_go() -> None:
    more_than_buffers_hold = Format("text/plain", variants("0.0.4"), lambda _: bytes(64 << 20))
    exposition = Exposition((more_than_buffers_hold,), 15.0, Clock())
    exposition.show(snapshot(7))
    server = ExposeServer((LOOPBACK, 0), exposition)
    try:
        with connect(server) as client:
            client.sendall(GET)
            assert client.recv(1) == b"H"
            wait_for(lambda: clients() == 0, "the end of patience")
            assert len(told(client)) < 64 << 20
    finally:
        server.close()


def test_whoever_connects_and_says_nothing_keeps_nobody_out_for_long(
    server: ExposeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FIRST_REQUEST", 3600.0)
    with ExitStack() as closing:
        held = [closing.enter_context(connect(server)) for _ in range(MAX_CONNECTIONS)]
        wait_for(partial(serves, MAX_CONNECTIONS), "all of them")
        with connect(server) as late:
            late.sendall(GET)
            assert late.recv(1) == b"H"
            assert clients() <= MAX_CONNECTIONS
            assert told(held[0]) == b""  # the oldest made way, and no other
            for client in held[1:]:
                client.sendall(LAST)
                assert told(client).startswith(b"HTTP/1.1 200 ")


def answered(client: socket.socket) -> bytes:
    """The head of one answer that has no long body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1 << 16)
    return received


def test_whoever_asks_without_end_gets_one_more_answer_when_others_wait(
    server: ExposeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expose_server, "GRACE", 3600.0)  # nobody is silent long enough
    with ExitStack() as closing:
        held = [closing.enter_context(connect(server)) for _ in range(MAX_CONNECTIONS)]
        for client in held:
            client.sendall(GET)
            assert b"Connection: close" not in answered(client)
        late = closing.enter_context(connect(server))
        late.sendall(LAST)
        wait_for(lambda: all(each.makes_way for each in server._open), "somebody waits")
        for client in held:
            client.sendall(GET)
            assert b"Connection: close" in told(client)
        assert told(late).startswith(b"HTTP/1.1 200 ")


def test_a_crowd_that_asks_for_nothing_without_end_keeps_no_scraper_out(server: ExposeServer) -> None:
    end = threading.Event()

    def ask_on() -> None:
        while not end.is_set():
            with suppress(OSError), connect(server) as client:
                while not end.wait(0.2):  # less than the silence that costs a place
                    client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                    if not client.recv(1 << 16):
                        break

    with ThreadPoolExecutor(2 * MAX_CONNECTIONS) as crowd:
        try:
            for _ in range(2 * MAX_CONNECTIONS):
                crowd.submit(ask_on)
            wait_for(partial(serves, MAX_CONNECTIONS), "all places are taken")
            with connect(server) as scraper:
                scraper.settimeout(60.0)
                scraper.sendall(LAST)
                assert told(scraper).startswith(b"HTTP/1.1 200 ")
        finally:
            end.set()


def test_no_more_connections_than_allowed_are_served_at_once_and_the_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = threading.Event()

    def write(_snapshot: Snapshot) -> bytes:
        go.wait(PATIENCE)
        return b"text 7"

    exposition = Exposition((Format("text/plain", ({},), write),), 15.0, Clock())
    exposition.show(snapshot(7))
    server = ExposeServer((LOOPBACK, 0), exposition)

    def answering() -> bool:
        return [each.silent_since for each in server._open] == [None] * MAX_CONNECTIONS

    try:
        with ThreadPoolExecutor(MAX_CONNECTIONS + 5) as pool:
            answers = [pool.submit(ask, server, LAST) for _ in range(MAX_CONNECTIONS)]
            wait_for(answering, "as many as allowed")
            monkeypatch.setattr(expose_server, "GRACE", 0.0)
            answers += [pool.submit(ask, server, LAST) for _ in range(5)]
            with pytest.raises(TimeoutError):
                wait_for(lambda: not (answering() and serves(MAX_CONNECTIONS)), "another one", 0.5)
            monkeypatch.undo()
            go.set()
            assert [answer.result().partition(b"\r\n\r\n")[2] for answer in answers] == [b"text 7"] * len(answers)
    finally:
        go.set()
        server.close()


def test_many_at_once_are_all_answered(server: ExposeServer) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: ask(server, LAST), range(200)))
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [b"text 7"] * 200
    assert clients() <= MAX_CONNECTIONS


def test_clients_that_vanish_leave_nothing_behind(server: ExposeServer) -> None:
    for _ in range(3 * MAX_CONNECTIONS):
        with connect(server) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets
            client.sendall(GET[:20])
    assert ask(server, LAST).startswith(b"HTTP/1.1 200 ")
    wait_for(lambda: clients() == 0, "the end of all")


def test_an_address_that_is_taken_is_an_error_that_names_it() -> None:
    exposition = Exposition(Written().formats(), 15.0, Clock())
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUseError, match=f"cannot listen on {LOOPBACK}:{port}: Address already in use"):
            ExposeServer((LOOPBACK, port), exposition)


def test_no_host_means_every_address() -> None:
    server = ExposeServer(("", 0), Exposition(Written().formats(), 15.0, Clock()))
    try:
        for host in (LOOPBACK, "[::1]"):
            assert requests.get(f"http://{host}:{server.port}/", timeout=5).status_code == HTTPStatus.NOT_FOUND
    finally:
        server.close()


def test_after_close_nobody_answers_also_when_all_connections_were_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_REQUEST", 3600.0)
    for count in (0, 1, MAX_CONNECTIONS + 2):
        with showing() as server:
            held = [connect(server) for _ in range(count)]
            wait_for(partial(serves, min(count, MAX_CONNECTIONS)), "all of them")
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        for client in held:
            assert told(client) == b""
            client.close()
        wait_for(lambda: clients() == 0, "the end of all")
