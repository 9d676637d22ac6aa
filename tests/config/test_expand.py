"""Variables in values."""

from os import uname

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.config.expand import expand, left_to_the_unit, variables
from ss_pusher.config.invalid import InvalidError

KNOWN = {"A": "1", "EMPTY": "", "NESTED": "${A}"}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${NONE:-fallback}", "fallback"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-fallback}", "fallback"),
        ("${A:-fallback}", "1"),
        ("$${A}", "${A}"),
        ("$$", "$"),
        ("$$$$", "$$"),
        ("$A costs 5$", "$A costs 5$"),
        ("${NESTED}", "${A}"),
    ],
)
def test_variables_are_replaced_once_as_in_a_shell(text: str, meaning: str) -> None:
    assert expand(text, KNOWN) == meaning


def test_an_unset_variable_without_default_is_named() -> None:
    with pytest.raises(
        InvalidError, match=r"uses the variable NONE, which is not set; set it, or write \$\{NONE:-default\}"
    ):
        expand("${NONE}", KNOWN)


def test_the_credentials_directory_says_who_sets_it() -> None:
    with pytest.raises(InvalidError, match="systemd sets it for a unit with LoadCredential="):
        expand("${CREDENTIALS_DIRECTORY}/token", KNOWN)


@pytest.mark.parametrize("name", ["CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"])
def test_what_only_a_unit_knows_stands_for_itself_outside_of_it(name: str) -> None:
    text, value = f"${{{name}}}/token", {name: "/run/x"}
    with pytest.raises(InvalidError, match="systemd sets it for a unit"):
        expand(text, variables({}))
    assert expand(text, variables({}, outside=True)) == text
    assert left_to_the_unit(text, {}) == name
    assert expand(f"${{{name}:-/etc}}/token", variables({}, outside=True)) == "/etc/token"
    assert expand(text, variables(value, outside=True)) == "/run/x/token"
    assert left_to_the_unit(text, value) == ""
    with pytest.raises(InvalidError, match="is not set"):
        expand("${OTHER}", variables({}, outside=True))


@pytest.mark.parametrize("text", ["${", "${}", "${1}", "${A", "${A-b}", "${A:b}"])
def test_a_broken_variable_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="begins no variable"):
        expand(text, KNOWN)


def test_a_variable_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(InvalidError, match="uses the variable A, which holds no UTF-8 text"):
        expand("${A}", {"A": b"\xff".decode(errors="surrogateescape")})


def test_hostname_is_known_even_where_the_shell_does_not_export_it() -> None:
    assert variables({})["HOSTNAME"] == uname().nodename
    assert variables({"HOSTNAME": ""})["HOSTNAME"] == uname().nodename
    assert variables({"HOSTNAME": "mine"})["HOSTNAME"] == "mine"


@given(st.text())
def test_any_text_can_be_written_by_doubling_its_dollars(text: str) -> None:
    assert expand(text.replace("$", "$$"), KNOWN) == text
