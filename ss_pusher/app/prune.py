"""`ss-pusher prune`: a Pushgateway's forgotten groups, told and deleted."""

import logging
import sys
import time
from pathlib import Path
from typing import Final

from ss_pusher.app.http_client import bare_url, make_client
from ss_pusher.app.plan import read_config
from ss_pusher.config import Pushgateway
from ss_pusher.config.invalid import InvalidError
from ss_pusher.config.network import parse_url
from ss_pusher.errors import ConfigError
from ss_pusher.send.prune import Group
from ss_pusher.send.prune import prune as prune_groups

logger = logging.getLogger(__name__)

_TIMEOUT: Final = 60.0
"""Seconds for each request, where no configuration says how many: a listing may be long."""


def prune(url: str, older_than: float, job: str | None, config: Path | None, *, dry_run: bool) -> bool:
    """Delete the groups to which nobody pushed for `older_than` seconds, or only say so: whether all went well.

    Raises:
        ConfigError: the URL or the configuration cannot be used.
    """
    section = _section(url, config)
    client, timeout = make_client(section), section.timeout
    try:
        pruned = prune_groups(
            client,
            bare_url(section.url),
            older_than=older_than,
            job=job,
            dry_run=dry_run,
            deadline=lambda: time.monotonic() + timeout,
            now=time.time,
        )
    finally:
        client.close()
    for group in pruned.groups:
        sys.stdout.write(f"{'would delete' if dry_run else 'deleted'} {_text(group)}\n")
    if pruned.problem:
        logger.error("%s: %s", bare_url(section.url), pruned.problem)
    elif not pruned.groups:
        logger.info("%s: nothing to delete: to every group%s somebody pushed since", bare_url(section.url), _of(job))
    return not pruned.problem


def _of(job: str | None) -> str:
    return f" of job {job}" if job else ""


def _section(url: str, config: Path | None) -> Pushgateway:
    """How to connect: by the configuration's block of that URL, or by what the URL says alone."""
    try:
        parsed = parse_url(url)
    except InvalidError as error:
        raise ConfigError([f"--url: {error}"]) from None
    if config is None:
        return Pushgateway(url=parsed, timeout=_TIMEOUT)
    wanted = bare_url(parsed).rstrip("/")
    for section in read_config(config).pushgateway:
        if bare_url(section.url).rstrip("/") == wanted:
            return section
    raise ConfigError([f"{config}: no pushgateway block has the URL {wanted}"])


def _text(group: Group) -> str:
    """Labels as Prometheus writes them, and when the last push was."""
    labels = ", ".join(f"{name}={_quoted(value)}" for name, value in sorted(group.labels.items()))
    pushed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(group.pushed_at))
    return f"{{{labels}}}, last pushed {pushed}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped) + '"'
