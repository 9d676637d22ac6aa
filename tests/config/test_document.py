"""From bytes to a tree, whatever the bytes."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.config import document
from ss_pusher.errors import ConfigError


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        document.compose(data, "config.yml")
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("data", [b"", b"\n", b"# only a comment\n", b"---\n", b"null\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_told_where_to_begin(data: bytes) -> None:
    assert refusal(data) == "config.yml: is empty; `ss-pusher sample-config` prints a configuration to begin with"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a: 1\nb: [1, 2\n", "config.yml:3:1: is no valid YAML: did not find expected ',' or ']'"),
        (b"a: 1\n\tb: 2\n", "config.yml:2:1: is no valid YAML: found a tab character that violates indentation"),
        (b"a: b: c\n", "config.yml:1:5: is no valid YAML: mapping values are not allowed in this context"),
        (b"a: 1\n---\nb: 1\n", "config.yml:2:1: is no valid YAML: but found another document"),
        (b"a: 1\nb: *c\n", "config.yml:2:4: is no valid YAML: found undefined alias"),
    ],
)
def test_invalid_yaml_is_told_its_line_and_column(data: bytes, problem: str) -> None:
    assert refusal(data) == problem


@pytest.mark.parametrize("data", [b"- a\n", b"text\n"])
def test_the_document_is_a_mapping(data: bytes) -> None:
    assert refusal(data) == "config.yml:1: expects keys with values, like `interval: 15s`"


def test_invalid_utf8_is_told_its_line() -> None:
    assert refusal(b"a: 1\nb: \xff\n") == "config.yml:2: is not UTF-8 text (byte 0xff)"


def test_utf16_is_no_utf8() -> None:
    assert "is not UTF-8 text" in refusal("interval: 15s\n".encode("utf-16"))


def test_a_control_character_is_told_its_line() -> None:
    assert refusal(b"a: 1\nb: \x07\n").startswith("config.yml:2: holds a character that YAML does not allow")


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    root = document.compose(b"\xef\xbb\xbfa: 1\n", "config.yml")
    assert root.value[0][0].value == "a"


def test_a_file_larger_than_any_configuration_is_refused() -> None:
    assert refusal(b"#" * (document.MAX_BYTES + 1)) == "config.yml: is larger than 1 MiB, which no configuration is"


@pytest.mark.parametrize("bracket", [b"[\n", b"{a:\n", b"- "])
def test_deep_nesting_is_refused_before_it_can_exhaust_the_stack(bracket: bytes) -> None:
    assert refusal(b"- " + bracket * 100_000).endswith(": is nested deeper than 32 levels")


def test_a_recursive_alias_is_a_tree_like_any_other() -> None:
    assert isinstance(document.compose(b"a: &a [*a]\n", "config.yml"), yaml.MappingNode)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize(
    "text",
    [
        "a: *s3cret",
        "a: !s3cret!x 1",
        "a: &s3cret 1\nb: &s3cret 2",
        'a: "\\s3cret"',
        "a: @s3cret",
        "a: b: s3cret",
        "%s3cret",
    ],
)
def test_errors_of_yaml_repeat_nothing_from_the_file(
    text: str, loader: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "_LOADER", loader)
    assert "s3cret" not in refusal(text.encode())


def test_half_a_surrogate_pair_is_refused_where_libyaml_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    assert refusal(b'a: 1\nb: "\\ud800"\n') == "config.yml:2: holds half of a surrogate pair, which is no character"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_mapping_or_a_config_error(data: bytes) -> None:
    try:
        assert isinstance(document.compose(data, "config.yml"), yaml.MappingNode)
    except ConfigError as error:
        assert error.problems[0].startswith("config.yml:")  # noqa: PT017  a mapping is as welcome as this error
