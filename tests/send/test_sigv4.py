"""Signatures, compared with those that AWS has published with its examples."""

from datetime import UTC, datetime

import pytest

from ss_pusher.send.exchange import Call
from ss_pusher.send.sigv4 import AwsKeys, SigV4, sign

# The test suite of Signature Version 4: the same key, time, region and service in each example.
KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
MOMENT = datetime(2015, 8, 30, 12, 36, 0, tzinfo=UTC)
HOST = "https://example.amazonaws.com"
PREFIX = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "


@pytest.mark.parametrize(
    ("method", "path", "signature"),
    [
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
        ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("GET", "/?Param1=value2&Param1=Value1", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
        ("GET", "/ሴ", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        ("GET", "/?ሴ=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ],
)
def test_signatures_are_those_of_the_published_suite(method: str, path: str, signature: str) -> None:
    headers = sign(Call(method, HOST + path), KEYS, "us-east-1", "service", MOMENT)

    assert headers == {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": f"{PREFIX}SignedHeaders=host;x-amz-date, Signature={signature}",
    }


def test_the_token_of_a_session_is_signed_with_the_rest() -> None:
    # post-sts-header-before of the suite
    session = (
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUu"
        "wthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQc"
        "HNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/o"
        "LxBA=="
    )
    headers = sign(
        Call("POST", HOST + "/"), AwsKeys(KEYS.access_key, KEYS.secret_key, session), "us-east-1", "service", MOMENT
    )

    assert headers["X-Amz-Security-Token"] == session
    assert headers["Authorization"] == (
        f"{PREFIX}SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_the_body_is_signed() -> None:
    one, other = (sign(Call("POST", HOST, {}, body), KEYS, "r", "s", MOMENT)["Authorization"] for body in (b"1", b"2"))

    assert one != other


@pytest.mark.parametrize("url", ["https://example.amazonaws.com:443/", "https://user:pass@example.amazonaws.com/"])
def test_the_host_is_the_one_that_is_sent(url: str) -> None:
    assert sign(Call("GET", url), KEYS, "us-east-1", "service", MOMENT) == sign(
        Call("GET", HOST + "/"), KEYS, "us-east-1", "service", MOMENT
    )


def test_another_port_is_part_of_the_host() -> None:
    other = sign(Call("GET", "https://example.amazonaws.com:8443/"), KEYS, "us-east-1", "service", MOMENT)

    assert other != sign(Call("GET", HOST + "/"), KEYS, "us-east-1", "service", MOMENT)


def test_calls_are_signed_at_the_time_of_the_clock_with_the_keys_of_the_moment() -> None:
    asked: list[tuple[float, bool]] = []

    def keys(deadline: float, *, refused: bool) -> AwsKeys:
        asked.append((deadline, refused))
        return KEYS

    authorize = SigV4(keys, "us-east-1", "service", MOMENT.timestamp)
    call = Call("GET", HOST + "/")

    assert authorize(call, 7.0, refused=True) == sign(call, KEYS, "us-east-1", "service", MOMENT)
    assert asked == [(7.0, True)]


def test_secrets_do_not_show() -> None:
    assert "wJalr" not in repr(KEYS)
