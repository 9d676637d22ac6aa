"""What the commands do that run an agent."""

import logging
import sys
import time
from pathlib import Path

from ss_pusher.app import privilege
from ss_pusher.app.agent import Agent, stop_on_signals
from ss_pusher.app.build import build_agent
from ss_pusher.app.plan import read_config
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.config import Config
from ss_pusher.errors import ConfigError
from ss_pusher.loop import Clock

logger = logging.getLogger(__name__)


def agent(path: Path) -> None:
    """The service: ticks until SIGTERM or SIGINT."""
    with stop_on_signals() as stop:
        running = _build(path, stale_on_exit=True)
        logger.info("reading every %g s, pushing to %s", running.interval, ", ".join(e.name for e in running.endpoints))
        running.run(stop)


def once(path: Path) -> bool:
    """One tick, pushed: whether every endpoint took it."""
    return _build(path, stale_on_exit=False).once()


def check(path: Path) -> None:
    """Raise ConfigError for what is wrong; say on stdout that nothing is."""
    config = read_config(path, check_files=True)
    _need_a_sink(config, path)
    for text in privilege.missing(config):
        logger.warning("%s", text)
    sys.stdout.write(f"{path}: this configuration can be used\n")


def _build(path: Path, *, stale_on_exit: bool) -> Agent:
    config = read_config(path)
    _need_a_sink(config, path)
    clock = Clock(time.time, time.monotonic)
    return build_agent(
        config, lambda telemetry: make_endpoints(config, clock, telemetry, stale_on_exit=stale_on_exit), clock
    )


def _need_a_sink(config: Config, path: Path) -> None:
    if not config.has_sink():
        raise ConfigError(
            [f"{path}: nothing to push to; add remote_write or pushgateway (see ss-pusher sample-config)"]
        )
