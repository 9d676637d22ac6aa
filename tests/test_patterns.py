"""Patterns of names."""

import pytest

from ss_pusher.patterns import matches


@pytest.mark.parametrize(
    ("name", "pattern", "is_match"),
    [
        ("nginx.service", "nginx.service", True),
        ("nginx.service", "nginx", False),
        ("nginx.service", "*.service", True),
        ("nginx.service", "NGINX.service", False),
        ("NGINX.service", "nginx.*", False),
        (r"a@b\x2dc.service", r"a@b\x2dc.service", True),
        ("app[1]", "app[1]", True),
        ("app1", "app[1]", True),
        ("", "*", False),
        ("", "", False),
        ("0123456789ab", "0123456789ab" + "f" * 52, True),
        ("0123456789ab", "0123456789ac" + "f" * 52, False),
        ("0123456789ab", "0123456789ab" + "f" * 51, False),
    ],
)
def test_a_name_matches_its_pattern(name: str, pattern: str, *, is_match: bool) -> None:
    assert matches(name, [pattern]) is is_match
    assert matches(name, ["something else", pattern]) is is_match


def test_no_pattern_matches_nothing() -> None:
    assert not matches("nginx.service", [])
