"""Names as words."""

from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.attribute.names import LONGEST, Names
from ss_pusher.model import OTHER_WORD


@given(st.lists(st.text()))
def test_every_name_comes_back_from_its_word(texts: list[str]) -> None:
    names = Names()
    words = [names.word(text) for text in texts]
    assert [names.name(word) for word in words] == texts
    assert len(set(words)) == len(set(texts))
    assert OTHER_WORD not in words


def test_the_empty_name_is_0() -> None:
    assert Names().word("") == 0
    assert Names().name(0) == ""


def test_a_name_that_is_no_unicode_comes_back_as_some() -> None:
    path = b"/caf\xe9".decode(errors="surrogateescape")
    names = Names()
    assert names.name(names.word(path)) == "/caf\ufffd"
    assert names.word("/caf\ufffd") == names.word(path)  # what looks alike is one series, not two of one name


def test_a_name_that_is_too_long_for_receivers_is_cut_and_still_tells_two_apart() -> None:
    names = Names()
    some, other = names.word("a" * 4096), names.word("a" * 4095 + "b")
    assert some != other
    assert len(names.name(some)) == len(names.name(other)) == LONGEST
    assert names.name(some) != names.name(other)


def test_a_name_has_the_same_word_wherever_and_whenever_it_is_given() -> None:
    assert Names().word("nginx.service") == Names().word("nginx.service") == 0x8EF8DF4801A6A80E  # b2sum -l 64


def test_names_that_are_not_used_are_forgotten_and_the_others_not() -> None:
    names = Names(limit=10)
    used, unused = names.word("used"), names.word("unused")
    for number in range(1000):
        names.word(f"passing {number}")
        assert names.name(used) == "used"
    assert len(names) <= 20
    assert names.name(unused) == f"{unused:016x}"
    assert names.word("unused") == unused
    assert names.name(unused) == "unused"
