"""${VAR} and ${VAR:-default} in values; $$ is a plain dollar."""

import re
from collections.abc import Mapping
from os import uname
from typing import Final

from ss_pusher.config.invalid import InvalidError

_VARIABLE: Final = re.compile(r"\$\$|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment, and HOSTNAME, which shells set but do not export; an empty one would be all hosts' name."""
    return {**environment, "HOSTNAME": environment.get("HOSTNAME") or uname().nodename}


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
        if name == "CREDENTIALS_DIRECTORY":
            raise InvalidError(f"uses {name}, which is not set; systemd sets it for a unit with LoadCredential=")
        raise InvalidError(f"uses the variable {name}, which is not set; set it, or write ${{{name}:-default}}")
    if value and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidError(f"uses the variable {name}, which holds no UTF-8 text") from None
    return value or default or ""
