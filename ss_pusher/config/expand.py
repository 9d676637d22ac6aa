"""${VAR} and ${VAR:-default} in values; $$ is a plain dollar."""

import re
from collections.abc import Mapping
from os import uname
from typing import Final

from ss_pusher.config.invalid import InvalidError

_VARIABLE: Final = re.compile(r"\$\$|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")

_OF_THE_UNIT: Final = {"CREDENTIALS_DIRECTORY": "LoadCredential=", "STATE_DIRECTORY": "StateDirectory="}
"""What systemd sets for a unit with these settings, and nobody for the shell in which its configuration is checked
(systemd.exec(5)).
"""


def variables(environment: Mapping[str, str], *, outside: bool = False) -> dict[str, str]:
    """The environment, and HOSTNAME, which shells set but do not export; an empty one would be all hosts' name.

    `outside` of a unit, `${NAME}` stands for itself where only the unit knows better.
    """
    themselves = [f"${{{name}}}" for name in _OF_THE_UNIT] if outside else []
    hostname = environment.get("HOSTNAME") or uname().nodename
    return {**environment, "HOSTNAME": hostname, **dict(zip(themselves, themselves, strict=True))}


def left_to_the_unit(text: str, environment: Mapping[str, str]) -> str:
    """The variable in a text that only the unit knows; empty when there is none."""
    return next((name for name in _OF_THE_UNIT if name not in environment and f"${{{name}}}" in text), "")


def expand(text: str, known: Mapping[str, str]) -> str:
    """The text with its variables replaced, once: what comes in is not expanded again.

    As in a shell, the default stands in for an empty variable too. Raises InvalidError for an unset variable without a
    default, and for a `${` that begins none.
    """
    return _VARIABLE.sub(lambda match: _replacement(match, known), text)


def _replacement(match: re.Match[str], known: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    name, default = match[1], match[2]
    if name is None:
        raise InvalidError("has a ${ that begins no variable; write ${NAME}, or $${ for the characters themselves")
    value = known.get(name)
    if value is None and default is None:
        if match[0] in known:
            return known[match[0]]
        if name in _OF_THE_UNIT:
            raise InvalidError(f"uses {name}, which is not set; systemd sets it for a unit with {_OF_THE_UNIT[name]}")
        raise InvalidError(f"uses the variable {name}, which is not set; set it, or write ${{{name}:-default}}")
    if value and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidError(f"uses the variable {name}, which holds no UTF-8 text") from None
    return value or default or ""
