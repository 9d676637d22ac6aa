"""What a client takes, by its Accept headers: RFC 9110, section 12.5."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

# RFC 9110, section 12.4.2: at most three digits. Whatever else is written counts as a wish that cannot be met.
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_SPACE: Final = " \t"


class Wish(NamedTuple):
    """One element of such a header: its value and parameters in lower case, and how much it is wanted, 0 to 1."""

    value: str
    parameters: dict[str, str]
    weight: float


def wishes(header: str) -> Iterator[Wish]:
    """The elements of a header, in their order."""
    for element in header.split(","):
        value, *rest = (part.strip(_SPACE).lower() for part in element.split(";"))
        parameters = {name.strip(_SPACE): text.strip('"') for name, _, text in (part.partition("=") for part in rest)}
        weight = parameters.pop("q", "1")
        yield Wish(value, parameters, float(weight) if _WEIGHT.fullmatch(weight) else 0.0)


def media_type(accept: str, offers: Sequence[tuple[str, Mapping[str, str]]]) -> int:
    """The place of the media type with parameters that is wanted most, of those offered.

    Only the last one, which everybody takes, is meant by a wildcard too, and by nothing that is offered. A type without
    a parameter means each that is offered; of equals the first one wins.
    """
    asked = list(wishes(accept))
    weights = [_weight(asked, *offer) for offer in offers]
    if weights[-1] is None:
        weights[-1] = max((wish.weight for wish in asked if wish.value in ("*/*", "text/*")), default=0.0)
    most = max(weight or 0.0 for weight in weights)
    return weights.index(most) if most else len(offers) - 1


def _weight(asked: Sequence[Wish], offered: str, parameters: Mapping[str, str]) -> float | None:
    """How much a type with these parameters is wanted; None: it is not named."""
    lower = {name: value.lower() for name, value in parameters.items()}
    named = [w for w in asked if w.value == offered and lower.items() <= (lower | w.parameters).items()]
    return max((wish.weight for wish in named), default=None)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a body may come compressed."""
    weights = {wish.value: wish.weight for wish in wishes(accept_encoding)}
    return weights.get("gzip", weights.get("*", 0.0)) > 0
