"""Options of commands, which may come from the environment too, and what their values may be."""

import argparse
import os
import re
from collections.abc import Callable
from typing import Any, Final

_A_DAY: Final = 86400.0


def option(parser: argparse.ArgumentParser, flag: str, convert: Callable[[str], Any], **settings: Any) -> None:
    """Add an option that may come from the environment too, where an empty value counts as none."""
    variable = "SS_PUSHER_" + flag.removeprefix("--").replace("-", "_").upper()
    given = os.environ.get(variable)

    def checked(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error} (from {variable})" if text == given else str(error)) from None

    if given:
        settings |= {"default": given, "required": False}
    parser.add_argument(flag, type=checked, **settings)


def switched_on(variable: str) -> bool:
    """Whether the environment switches an option on that takes no value."""
    return os.environ.get(variable, "").lower() not in {"", "0", "false", "no", "off"}


def one_of(*choices: str) -> Callable[[str], str]:
    """What takes one of these words and no other."""

    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return convert


def positive_int(text: str) -> int:
    """A whole number from 1 on. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is no whole number from 1 on")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds, less than a day. Raises ValueError."""
    number = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else 0.0
    if not 0 < number < _A_DAY:
        raise ValueError(f"{text!r} is no number of seconds within a day")
    return number


def listen_address(text: str) -> Any:
    """A `config.ListenAddress`. Raises ValueError."""
    from ss_pusher.config.invalid import InvalidError  # noqa: PLC0415 - only who gives this option pays for it
    from ss_pusher.config.network import parse_listen_address  # noqa: PLC0415 - the same

    try:
        return parse_listen_address(text)
    except InvalidError as error:
        raise ValueError(f"{text!r} {error}") from None


def duration(text: str) -> float:
    """A duration as the configuration has it, like 15s, in seconds. Raises ValueError."""
    from ss_pusher.config.invalid import InvalidError  # noqa: PLC0415 - only who gives this option pays for it
    from ss_pusher.config.values import parse_duration  # noqa: PLC0415 - the same

    try:
        length = parse_duration(text)
    except InvalidError as error:
        raise ValueError(f"{text!r} {error}") from None
    if not length:
        raise ValueError(f"{text!r} must be more than nothing")
    return length
