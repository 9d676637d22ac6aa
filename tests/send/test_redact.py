"""What is hidden of what a server says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.send.auth import basic_header
from ss_pusher.send.redact import SHORTEST, redact, secrets

URL = "http://push.example/"


@pytest.mark.parametrize(
    ("headers", "configured", "found"),
    [
        ({}, {}, set()),
        ({"Content-Type": "x/y"}, {}, set()),
        ({"authorization": "Bearer abc"}, {}, {"abc"}),
        ({"Authorization": "Basic no-base64"}, {}, {"no-base64"}),
        (
            {"Authorization": basic_header("id", "a+b%2Fc")},
            {},
            {"aWQ6YStiJTJGYw==", "id:a+b%2Fc", "id:a b/c", "a+b%2Fc", "a b/c"},
        ),
        ({"X-Amz-Security-Token": "FQoGZ", "X-Amz-Date": "20260101T000000Z"}, {}, {"FQoGZ"}),
        ({}, {"X-Api-Key": "SECRET", "X-Level": "1"}, {"SECRET"}),
        ({}, {"X-Api-Key": "Basic dTpsb25n"}, {"Basic dTpsb25n", "dTpsb25n", "u:long", "long"}),
    ],
)
def test_what_is_a_secret(headers: dict[str, str], configured: dict[str, str], found: set[str]) -> None:
    assert secrets(headers, configured, URL, "") == found


def test_the_query_and_the_proxy_s_user_are_secrets() -> None:
    assert secrets({}, {}, f"{URL}?token=t", "socks5://u:p%40ss@proxy:1080") == {
        "token=t",
        "u:p@ss",
        "p@ss",
        "dTpwQHNz",
    }


def test_a_password_that_is_too_short_to_be_hidden_alone_is_hidden_with_its_user() -> None:
    hide = secrets({"Authorization": basic_header("edge", "a" * (SHORTEST - 1))}, {}, URL, "")

    assert redact("edge:aaa has no aaa", hide) == "<hidden> has no aaa"


@given(st.text(min_size=SHORTEST), st.text(), st.text())
def test_a_password_is_never_shown(password: str, before: str, after: str) -> None:
    hide = secrets({"Authorization": basic_header("edge", password)}, {}, URL, "")
    shown = redact(f"{before}{password}{after}", hide)

    assert all(password not in piece for piece in shown.split("<hidden>"))
