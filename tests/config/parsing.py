"""Short ways to ask the loader about a text."""

from collections.abc import Mapping
from pathlib import Path

from ss_pusher.config import Config, Loaded, parse
from ss_pusher.errors import ConfigError

ENVIRONMENT: Mapping[str, str] = {"HOSTNAME": "edge-7", "EMPTY": "", "PORT": "8443", "TOKEN": "s3cret"}
DIRECTORY = Path("/etc/ss-pusher")


def loaded(text: str | bytes, *, metric_names: tuple[str, ...] = (), readable_by_all: bool = False) -> Loaded:
    data = text if isinstance(text, bytes) else text.encode()
    return parse(
        data,
        "config.yml",
        directory=DIRECTORY,
        metric_names=metric_names,
        environment=ENVIRONMENT,
        readable_by_all=readable_by_all,
    )


def config(text: str) -> Config:
    return loaded(text).config


def problems(text: str | bytes, *, metric_names: tuple[str, ...] = ()) -> list[str]:
    """Every problem; none when the text is right."""
    try:
        loaded(text, metric_names=metric_names)
    except ConfigError as error:
        return error.problems
    return []
