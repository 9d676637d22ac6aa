"""An agent's configuration as one for a job. Imports little: the job waits for it."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ss_pusher.config import Config
from ss_pusher.config.invalid import InvalidError
from ss_pusher.config.values import parse_label_name
from ss_pusher.errors import ConfigError

FOR_EVER: Final = 1 << 40
"""Ticks that a group is held: what a job moved is told at its end, however long ago that was."""


def parse_labels(given: Sequence[str]) -> dict[str, str]:
    """Labels as a command line has them, NAME=VALUE. Raises ConfigError with all that is wrong."""
    problems = [f"--label {pair}: write NAME=VALUE" for pair in given if not pair.partition("=")[2]]
    if problems:
        raise ConfigError(problems)
    return dict(pair.split("=", 1) for pair in given)


def for_job(config: Config, name: str, labels: Mapping[str, str]) -> Config:
    """The configuration with the job's name and labels, and nothing that is the agent's alone.

    Raises:
        ConfigError: a label cannot be used, or there is nowhere to push to.
    """
    problems = [problem for label in labels if (problem := _problem(config, label))]
    if not config.remote_write and not config.pushgateway:
        problems.append("nothing to push to; add remote_write or pushgateway (see ss-pusher sample-config)")
    if problems:
        raise ConfigError(problems)
    return msgspec.structs.replace(
        config,
        external_labels={**config.external_labels, **labels, "job": name},
        pushgateway=tuple(msgspec.structs.replace(section, job=name) for section in config.pushgateway),
        limit=msgspec.structs.replace(config.limit, hold=FOR_EVER),
        expose=msgspec.structs.replace(config.expose, listen_address=None),
    )


def _problem(config: Config, label: str) -> str:
    if label == "job":
        return "label job: is the name of the job, which is given by itself"
    if label in config.group.by:
        return f"label {label}: is also in group.by; give it another name"
    try:
        parse_label_name(label)
    except InvalidError as error:
        return f"label {label!r}: {error}"
    return ""
