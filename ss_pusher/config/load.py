"""A file to a Config: read, composed, converted, checked. Every problem at once, each with its place."""

import os
import stat
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from ss_pusher.config.convert import Walk, Written, convert
from ss_pusher.config.document import compose, has_key
from ss_pusher.config.expand import variables
from ss_pusher.config.file import read, told
from ss_pusher.config.invalid import suggestion
from ss_pusher.config.schema import Config, Group
from ss_pusher.config.secrecy import warn_of_exposed_files
from ss_pusher.config.secret import Url
from ss_pusher.config.ss_exporter_schema import ROOT
from ss_pusher.config.values import FILE, METRIC, RANKING, RANKINGS, SECRET, SECRET_FILE
from ss_pusher.errors import ConfigError


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
        check_files: Whether a secret's or certificate's file that cannot be opened is an error now. They are read only
            when they are used, and may come later.
        environment: Where ${VAR} comes from.

    Raises:
        ConfigError: With every problem of the file.
    """
    data, mode = read(path)
    return parse(
        data,
        str(path),
        directory=path.parent,
        metric_names=metric_names,
        check_files=check_files,
        environment=environment,
        readable_by_all=bool(mode & stat.S_IROTH),
    )


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
    walk = Walk(name, directory, variables(environment))
    root = compose(data, name)
    if has_key(root, ROOT):
        advice = f"`ss-pusher convert-config {name}` prints one of ours that does the same"
        raise ConfigError([f"{name}: is a configuration of prometheus_ss_exporter; {advice}"])
    config = convert(root, Config, walk)
    if metric_names:
        _check_metrics(walk, metric_names)
    if check_files:
        _check_files(walk)
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


def _check_files(walk: Walk) -> None:
    for steps, kind, raw, path in walk.written:
        if kind in (FILE, SECRET_FILE) and (trouble := _trouble(path)):
            # What does not begin like a path may be the secret itself, put under the wrong key.
            shown = f"{raw!r} " if raw.startswith(("/", "$")) else ""
            walk.problem(steps, shown + trouble)


def _trouble(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    if stat.S_ISDIR(status.st_mode):
        return "is a directory; name the file in it"
    return "" if os.access(path, os.R_OK) else "may not be read by this user"


def _warn(config: Config, walk: Walk, *, readable_by_all: bool) -> None:
    inline = [written.steps for written in walk.written if _is_secret(written) and "${" not in written.raw]
    if readable_by_all and inline:
        walk.warning(
            inline[0], "holds a secret, and every user may read this file; use a file of its own, or chmod o-r"
        )
    warn_of_exposed_files(walk)
    if config.expose.web_config_file and not config.expose.listen_address:
        walk.warning(("expose", "web_config_file"), "has no effect without expose.listen_address")
    if config.metrics.preset == "ss_exporter" and config.group.by != Group().by:
        walk.warning(("group", "by"), "has no effect with the preset ss_exporter, which groups by its label flow")
    if "remote_network" in config.group.by and not config.group.networks:
        walk.warning(("group", "by"), "names remote_network, which is empty without group.networks")
    for position, gateway in enumerate(config.pushgateway):
        if gateway.linger and gateway.on_exit == "keep":
            walk.warning(("pushgateway", position, "linger"), "has no effect without on_exit: delete")


def _is_secret(written: Written) -> bool:
    return written.kind is SECRET or (isinstance(written.value, Url) and written.value.has_credentials())
