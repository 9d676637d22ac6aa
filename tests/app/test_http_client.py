"""Who an endpoint says it is, and which way it takes."""

from pathlib import Path

import pytest

from ss_pusher.app.http_client import _identity, _is_listed, bare_url
from ss_pusher.config import RemoteWrite, parse
from ss_pusher.errors import ConfigError
from ss_pusher.send.exchange import Call

CALL = Call("POST", "http://server.example/", {}, b"")


def section(text: str) -> RemoteWrite:
    url = "" if "url:" in text else "url: 'http://server.example/', "
    loaded = parse(f"remote_write: [{{{url}{text}}}]".encode(), "test", directory=Path())
    return loaded.config.remote_write[0]


def header(text: str) -> str:
    authorize = _identity(section(text))
    assert authorize is not None
    return authorize(CALL, 0.0, refused=False)["Authorization"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("basic_auth: {username: edge, password: s3cret}", "Basic ZWRnZTpzM2NyZXQ="),
        ("basic_auth: {username: edge}", "Basic ZWRnZTo="),
        ("authorization: {credentials: t0ken}", "Bearer t0ken"),
        ("authorization: {type: Token, credentials: t0ken}", "Token t0ken"),
        ("bearer_token: t0ken", "Bearer t0ken"),
        ("url: 'http://ed%40ge:s3%3Acret@server.example/'", "Basic ZWRAZ2U6czM6Y3JldA=="),
    ],
)
def test_each_way_of_saying_who_we_are_makes_its_header(text: str, expected: str) -> None:
    assert header(text) == expected


def test_a_secret_in_a_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    authorize = _identity(section(f"authorization: {{credentials_file: {file}}}"))
    assert authorize is not None
    file.write_text("first\n")
    assert authorize(CALL, 0.0, refused=False) == {"Authorization": "Bearer first"}
    file.write_text("the second\n")
    assert authorize(CALL, 0.0, refused=False) == {"Authorization": "Bearer the second"}


def test_without_any_there_is_no_header() -> None:
    assert _identity(section("headers: {X-Scope-OrgID: team}")) is None


def test_sigv4_without_a_region_is_an_error_that_says_where_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="name the region, here or as AWS_REGION"):
        _identity(section("sigv4: {access_key: a, secret_key: b}"))


def test_sigv4_signs_with_the_configured_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    signed = header("sigv4: {access_key: AKIDEXAMPLE, secret_key: b}")
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-central-1/aps/aws4_request" in signed


def test_the_url_goes_out_without_user_and_password() -> None:
    assert bare_url(section("url: 'http://u:p@server.example:8080/x?y=z'").url) == "http://server.example:8080/x?y=z"


@pytest.mark.parametrize(
    ("host", "listed", "expected"),
    [
        ("server.example", "server.example", True),
        ("a.server.example", "server.example", True),
        ("a.server.example", ".server.example", True),
        ("otherserver.example", "server.example", False),
        ("SERVER.example", " x, server.EXAMPLE ", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("fd00::1", "fd00::/8", True),
        ("anything", "*", True),
        ("anything", "", False),
    ],
)
def test_no_proxy_lists_hosts_domains_and_networks(host: str, listed: str, *, expected: bool) -> None:
    assert _is_listed(host, listed) is expected
