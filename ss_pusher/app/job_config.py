"""An agent's configuration as one for a job. Imports little: the job waits for it."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ss_pusher.config import Config, load
from ss_pusher.config.invalid import InvalidError
from ss_pusher.config.values import parse_label_name
from ss_pusher.errors import ConfigError

logger = logging.getLogger(__name__)

DEFAULT: Final = Path("/etc/ss-pusher/config.yml")
"""The agent's own, which is asked where none is named."""
UNNAMED: Final = "job"
"""The name of a job that has none."""
_NO_CHARACTER: Final = re.compile("[\ud800-\udfff]")
FOR_EVER: Final = 1 << 40
"""Ticks that a group is held: what a job moved is told at its end, however long ago that was."""


def parse_labels(given: Sequence[str]) -> dict[str, str]:
    """Labels as a command line has them, NAME=VALUE. Raises ConfigError with all that is wrong."""
    problems = [f"--label {pair}: write NAME=VALUE" for pair in given if "=" not in pair]
    if problems:
        raise ConfigError(problems)
    return dict(pair.split("=", 1) for pair in given)


def config_of(named: Path | None) -> Config:
    """The configuration that is named, or else the default one. A job is never kept from running by the latter.

    Raises:
        ConfigError: the one that is named cannot be used, or says nowhere to push to.
    """
    if named is not None:
        config = _read(named)
        if not _pushes(config):
            raise ConfigError([f"{named}: {_NOWHERE}"])
        return config
    try:
        config = _read(DEFAULT)
    except ConfigError as error:
        there = ", and the default one cannot be used" if DEFAULT.exists() else ", and there is no default one"
        why = "; ".join(error.problems)
        logger.warning("nothing is pushed: no configuration is named (--config)%s: %s", there, why)
        return Config()
    if not _pushes(config):
        logger.warning("nothing is pushed: %s: %s", DEFAULT, _NOWHERE)
    return config


def _read(path: Path) -> Config:
    """What the defaults cannot have wrong needs no check, and no job waits for what that takes. Raises ConfigError."""
    loaded = load(path)
    if (loaded.config.metrics, loaded.config.limit) != (Config().metrics, Config().limit):
        from ss_pusher.app.selecting import read_limited  # noqa: PLC0415 - all metrics, and numpy with them

        return read_limited(path)
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    return loaded.config


def _pushes(config: Config) -> bool:
    return bool(config.remote_write or config.pushgateway)


_NOWHERE: Final = "nothing to push to; add remote_write or pushgateway (see ss-pusher sample-config)"


def for_job(config: Config, name: str, labels: Mapping[str, str]) -> Config:
    """The configuration with the job's name and labels, and nothing that is the agent's alone.

    A label with an empty value is no label. What is no character is replaced: command lines are bytes.

    Raises:
        ConfigError: a label cannot be used.
    """
    problems = [problem for label in labels if (problem := label_problem(config, label))]
    if problems:
        raise ConfigError(problems)
    name = presentable(name) or UNNAMED
    given = {label: presentable(value) for label, value in labels.items() if value}
    return msgspec.structs.replace(
        config,
        external_labels={**config.external_labels, **given, "job": name},
        pushgateway=tuple(msgspec.structs.replace(section, job=name) for section in config.pushgateway),
        limit=msgspec.structs.replace(config.limit, hold=FOR_EVER),
        expose=msgspec.structs.replace(config.expose, listen_address=None),
    )


def presentable(text: str) -> str:
    """The text with a replacement character for each byte that was none of UTF-8 (os.fsdecode)."""
    return _NO_CHARACTER.sub("\ufffd", text)


def label_problem(config: Config, label: str) -> str:
    """Why a job cannot have this label; empty if it can."""
    if label == "job":
        return "label job: is the name of the job, which is given by itself"
    if label in config.group.by:
        return f"label {label}: is also in group.by; give it another name"
    try:
        parse_label_name(label)
    except InvalidError as error:
        return f"label {label!r}: {error}"
    return ""
