"""A file to a Config: read, composed, converted, checked. Every problem at once, each with its place."""

import os
import stat
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from ss_pusher.config.convert import Walk, convert
from ss_pusher.config.document import compose, has_key
from ss_pusher.config.expand import left_to_the_unit, variables
from ss_pusher.config.file import read, told, unreadable
from ss_pusher.config.group import Group
from ss_pusher.config.invalid import suggestion
from ss_pusher.config.schema import Config
from ss_pusher.config.secrecy import exposure, warn_of_exposed_files, warn_of_readable_secrets
from ss_pusher.config.ss_exporter_schema import ROOT
from ss_pusher.config.values import DIRECTORY, FILE, METRIC, RANKING, RANKINGS, SECRET_FILE
from ss_pusher.errors import ConfigError
from ss_pusher.files import MAX_PEM, open_to_others, read_file, read_secret

_LONGEST_IN_UNITS: Final = 25
"""Seconds that the last push may take in the units of systemd/, which give the agent 30 to end."""
_PEM_FILES: Final = ("ca_file", "cert_file", "key_file")
"""The keys of files that hold certificates or keys; other files hold one secret, or a name."""


class Loaded(NamedTuple):
    """A configuration that can be used, and what is unlikely to be meant, each with its place in the file."""

    config: Config
    warnings: tuple[str, ...]


def load(
    path: Path,
    *,
    metric_names: Collection[str] = (),
    check_files: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Loaded:
    """Read a configuration file.

    Args:
        path: The file. Relative paths inside are taken from its directory.
        metric_names: All metrics there are, to check the named ones against; empty: not checked.
        check_files: Whether a secret's or certificate's file that cannot be used is an error now. They are read only
            when they are used, and may come later.
        environment: Where ${VAR} comes from.

    Raises:
        ConfigError: With every problem of the file.
    """
    data, mode = read(path)
    loaded = parse(
        data,
        str(path),
        directory=path.parent,
        metric_names=metric_names,
        check_files=check_files,
        environment=environment,
        readable_by_all=bool(mode & stat.S_IROTH),
    )
    exposed = exposure(path, in_the_open=True)
    return loaded._replace(warnings=(f"{path}: {exposed}", *loaded.warnings)) if exposed else loaded


def parse(
    data: bytes,
    name: str,
    *,
    directory: Path,
    metric_names: Collection[str] = (),
    check_files: bool = False,
    environment: Mapping[str, str] = os.environ,
    readable_by_all: bool = False,
) -> Loaded:
    """The same for the bytes of a file; `name` is how errors call it. Raises ConfigError."""
    walk = Walk(name, directory, variables(environment, outside=check_files))
    root = compose(data, name)
    if has_key(root, ROOT):
        advice = f"`ss-pusher convert-config {name}` prints one of ours that does the same"
        raise ConfigError([f"{name}: is a configuration of prometheus_ss_exporter; {advice}"])
    config = convert(root, Config, walk)
    if metric_names:
        _check_metrics(walk, metric_names)
    if check_files:
        _check_files(walk, environment)
        _check_spool(walk)
    if walk.problems or config is None:
        raise ConfigError(told(name, walk.problems))
    _warn(config, walk, readable_by_all=readable_by_all)
    return Loaded(config, tuple(told(name, walk.warnings)))


def _check_metrics(walk: Walk, names: Collection[str]) -> None:
    for steps, kind, raw, value in walk.written:
        if kind is METRIC:
            known = any(fnmatchcase(name, value) for name in names)
        else:
            known = kind is not RANKING or value in RANKINGS or value in names
        if not known:
            walk.problem(steps, f"{raw!r} is no metric of ss_pusher{suggestion(value, names)}")


def _check_files(walk: Walk, environment: Mapping[str, str]) -> None:
    said: set[str] = set()
    for steps, kind, raw, path in walk.written:
        if unknown := left_to_the_unit(raw, environment):
            if unknown not in said:
                walk.warning(steps, f"uses {unknown}, which is not set here, but in a unit; no file in it is checked")
            said.add(unknown)
        elif kind in (FILE, SECRET_FILE) and (trouble := _trouble(path, is_pem=steps[-1] in _PEM_FILES)):
            # What does not begin like a path may be the secret itself, put under the wrong key.
            shown = f"{raw!r} " if raw.startswith(("/", "$")) else ""
            walk.problem(steps, shown + trouble)


def _check_spool(walk: Walk) -> None:
    """Say of a directory that is there already who else could put another spool in its place."""
    for steps, kind, _, directory in walk.written:
        if kind is DIRECTORY and directory and (found := _danger(directory)):
            walk.warning(steps, f"is not safe: {found}")


def _danger(directory: Path) -> str:
    try:
        user = os.geteuid() or directory.stat().st_uid  # root may ask for the user that the agent runs as
        return open_to_others(directory, user)
    except OSError:  # it is made at the start, or only the agent's user may go there
        return ""


def _trouble(path: Path, *, is_pem: bool) -> str:
    try:
        if is_pem:
            read_file(path, MAX_PEM)
        else:
            read_secret(path)
    except (OSError, ValueError) as error:
        return unreadable(error)
    return ""


def _warn(config: Config, walk: Walk, *, readable_by_all: bool) -> None:
    if readable_by_all:
        warn_of_readable_secrets(walk)
    warn_of_exposed_files(walk)
    if config.shutdown_deadline > _LONGEST_IN_UNITS:
        longest = f"is more than the {_LONGEST_IN_UNITS} s that the units have time for"
        walk.warning(("shutdown_deadline",), f"{longest}; a drop-in with a longer TimeoutStopSec= would be right")
    if config.expose.web_config_file and not config.expose.listen_address:
        walk.warning(("expose", "web_config_file"), "has no effect without expose.listen_address")
    if config.metrics.preset == "ss_exporter" and config.group.by != Group().by:
        walk.warning(("group", "by"), "has no effect with the preset ss_exporter, which groups by its label flow")
    if "remote_network" in config.group.by and not config.group.networks:
        walk.warning(("group", "by"), "names remote_network, which is empty without group.networks")
    for position, gateway in enumerate(config.pushgateway):
        if gateway.linger and gateway.on_exit == "keep":
            walk.warning(("pushgateway", position, "linger"), "has no effect without on_exit: delete")
