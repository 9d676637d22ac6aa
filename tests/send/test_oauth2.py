"""OAuth 2.0 client credentials, against scripted servers of tokens."""

import time
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from ss_pusher.send.exchange import Answer, Call, Failure
from ss_pusher.send.http import Client
from ss_pusher.send.oauth2 import OAuth2
from ss_pusher.send.session import HttpSettings
from tests.send.endpoints import Clock
from tests.send.scripted import Script, reply, scripted

LONG = 20.0
ANY = Call("POST", "http://any/")


def soon() -> float:
    return time.monotonic() + LONG


def token(text: str = '{"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}') -> Script:
    return reply(200, text.encode())


class Tokens:
    """An OAuth 2.0 client whose server of tokens is scripted."""

    def __init__(self, url: str, **options: object) -> None:
        self.clock = Clock()
        self.secret = "s3cret"  # noqa: S105 - of nobody
        self.client = Client(HttpSettings())
        self.authorize = OAuth2(self.client, url, "the id", lambda: self.secret, clock=self.clock, **options)  # type: ignore[arg-type]  # given by name

    def header(self) -> str:
        return self.authorize(ANY, soon(), refused=False)["Authorization"]


@pytest.fixture
def opened() -> Iterator[list[Client]]:
    clients: list[Client] = []
    yield clients
    for client in clients:
        client.close()


def test_a_token_is_asked_for_as_the_rfc_says(opened: list[Client]) -> None:
    with scripted(token()) as server:
        tokens = Tokens(server.url, scopes=("write", "read"), parameters={"audience": "a&b"})
        opened.append(tokens.client)
        assert tokens.header() == "Bearer t1"

    (received,) = server.requests
    assert received.method == "POST"
    assert received.headers["authorization"] == "Basic dGhlK2lkOnMzY3JldA=="  # the+id:s3cret
    assert received.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(received.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["write read"],
        "audience": ["a&b"],
    }


def test_a_token_is_used_until_shortly_before_it_expires(opened: list[Client]) -> None:
    with scripted(token(), token('{"access_token": "t2", "expires_in": "60"}')) as server:
        tokens = Tokens(server.url)
        opened.append(tokens.client)
        for _ in range(3):
            assert tokens.header() == "Bearer t1"
        tokens.clock.now += 3585
        assert tokens.header() == "Bearer t1"
        assert len(server.requests) == 1
        tokens.clock.now += 10
        assert tokens.header() == "Bearer t2"

    assert len(server.requests) == 2


def test_a_rotated_secret_means_a_new_token(opened: list[Client]) -> None:
    with scripted(token(), token('{"access_token": "t2"}')) as server:
        tokens = Tokens(server.url)
        opened.append(tokens.client)
        tokens.header()
        tokens.secret = "other"  # noqa: S105 - of nobody
        assert tokens.header() == "Bearer t2"


def test_a_token_that_the_server_refuses_is_not_used_again(opened: list[Client]) -> None:
    with scripted(token(), token('{"access_token": "t2"}')) as server, scripted(reply(401), reply()) as target:
        tokens = Tokens(server.url)
        client = Client(HttpSettings(), tokens.authorize)
        opened += [tokens.client, client]
        for _ in range(3):
            client.send(Call("POST", target.url), soon())

    assert [r.headers["authorization"] for r in target.requests] == ["Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize("answer", ["", "[]", "{}", "nonsense", '{"access_token": "t", "expires_in": []}', "[" * 9999])
def test_an_answer_without_a_token_is_an_error(opened: list[Client], answer: str) -> None:
    with scripted(token(answer)) as server:
        tokens = Tokens(server.url)
        opened.append(tokens.client)
        with pytest.raises(ValueError, match="no token: the answer of the server of tokens has none"):
            tokens.header()


def test_no_token_is_a_failure_of_the_push_with_the_words_of_the_server_of_tokens(opened: list[Client]) -> None:
    with scripted(reply(401, b'{"error": "invalid_client"}')) as server, scripted(reply()) as target:
        tokens = Tokens(server.url)
        opened.append(tokens.client)
        client = Client(HttpSettings(), tokens.authorize)
        outcome = client.send(Call("POST", target.url), soon())

    assert outcome == Failure('no token: the server of tokens answers 401: {"error": "invalid_client"}')
    assert target.requests == []


def test_a_server_of_tokens_that_hangs_cannot_stretch_the_deadline(opened: list[Client]) -> None:
    with scripted(lambda peer: peer.wait_until_closed()) as server:
        tokens = Tokens(server.url)
        opened.append(tokens.client)
        client = Client(HttpSettings(), tokens.authorize)
        outcome = client.send(ANY, time.monotonic() + 0.3)

    assert outcome == Failure("no complete answer before the deadline")


def test_the_token_goes_with_the_push(opened: list[Client]) -> None:
    with scripted(token()) as server, scripted(reply()) as target:
        tokens = Tokens(server.url)
        opened.append(tokens.client)
        client = Client(HttpSettings(), tokens.authorize)
        opened.append(client)
        assert isinstance(client.send(Call("POST", target.url), soon()), Answer)

    assert target.requests[0].headers["authorization"] == "Bearer t1"
