"""What every section of the configuration is, and the checks between its keys."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from msgspec import Meta, Struct

from ss_pusher.config.values import PLAIN_KINDS, Kind, choice

Steps: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys and list positions from the root, or from a section where it is relative."""

Problems: TypeAlias = Iterator[tuple[Steps, str]]
"""What is wrong, and where."""


class Check(NamedTuple):
    """A rule between keys, which may lie deeper (group.by): `find` takes their values, and yields what is wrong where.

    It is asked only when each of these values is right by itself, so that it sees no half-built ones; of a mapping
    like external_labels it sees the entries that are right, and of a list, if it is asked about that alone, the
    elements.
    """

    keys: tuple[str, ...]
    find: Callable[..., Iterable[tuple[Steps, str]]]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the configuration. The description of each key stands in its annotation."""

    checks: ClassVar[tuple[Check, ...]] = ()
    without_effect: ClassVar[Mapping[str, str]] = {}
    """Keys of Prometheus that are taken and change nothing, and why: a warning."""
    refused: ClassVar[Mapping[str, str]] = {}
    """Keys of Prometheus that cannot be ignored, and what to do instead: an error."""


class Shape(NamedTuple):
    """A key's type taken apart: what it is below Annotated and None, how a single value is written, its limits."""

    base: Any
    kind: Kind | None
    metas: tuple[Meta, ...]


def shape(wanted: Any) -> Shape:
    """Take a key's type apart; `kind` is None for sections, lists and mappings."""
    kind: Kind | None = None
    metas: tuple[Meta, ...] = ()
    while kind is None:
        origin = get_origin(wanted)
        if origin is Annotated:
            wanted, *notes = get_args(wanted)
            kind = next((note for note in notes if isinstance(note, Kind)), None)
            metas += tuple(note for note in notes if isinstance(note, Meta))
        elif origin in (Union, UnionType):
            (wanted,) = (part for part in get_args(wanted) if part is not NoneType)
        elif origin is Literal:
            kind = choice(get_args(wanted))
        else:
            return Shape(wanted, PLAIN_KINDS.get(wanted), metas)
    return Shape(wanted, kind, metas)


def is_section(base: Any) -> bool:
    """Whether a key's type is a section of its own."""
    return isinstance(base, type) and issubclass(base, Section)


def at_most_one(*keys: str) -> Check:
    """Of these keys one may be given."""

    def find(*values: object) -> Iterator[tuple[Steps, str]]:
        given = [key for key, value in zip(keys, values, strict=True) if value is not None]
        for key in given[1:]:
            yield (key,), f"does not go together with {given[0]}; give one of them"

    return Check(keys, find)


def at_least_one(*keys: str) -> Check:
    """Of these keys one must be given."""

    def find(*values: object) -> Iterator[tuple[Steps, str]]:
        if all(value is None for value in values):
            yield (), f"needs {' or '.join(keys)}"

    return Check(keys, find)


def both_or_neither(first: str, second: str) -> Check:
    """Each of these keys needs the other."""

    def find(one: object, other: object) -> Iterator[tuple[Steps, str]]:
        if (one is None) != (other is None):
            given, missing = (second, first) if one is None else (first, second)
            yield (given,), f"needs {missing} beside it"

    return Check((first, second), find)
