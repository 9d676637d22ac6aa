"""What the commands do that run an agent."""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from ss_pusher.app import privilege
from ss_pusher.app.build import build_agent
from ss_pusher.app.expose import check_web_config
from ss_pusher.app.plan import read_config
from ss_pusher.app.selecting import check_limits_in, read_limited
from ss_pusher.app.service import Service, reload_on_hangup
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import Config, ListenAddress
from ss_pusher.config.expand import left_to_the_unit
from ss_pusher.errors import ConfigError
from ss_pusher.notify import service_manager
from ss_pusher.stop import StopSignal

logger = logging.getLogger(__name__)


def agent(path: Path, stop: StopSignal, listen: ListenAddress | None = None) -> None:
    """The service: ticks until `stop` is set, reads its configuration anew at SIGHUP.

    `listen` is where to expose, if given, whatever the configuration says.
    """
    started = False

    def load() -> Config:
        nonlocal started
        config = read_limited(path)
        if listen is not None:
            config = replace(config, expose=replace(config.expose, listen_address=listen))
        _need_a_sink(config, path)
        # A certificate that is just being renewed keeps no agent from pushing; one that runs may refuse a reload.
        check_web_config(config, files=started)
        started = True
        return config

    service = Service(load, Clock(), service_manager(os.environ, os.getpid()))
    with reload_on_hangup(stop, service):
        service.run(stop)


def once(path: Path) -> bool:
    """One tick, pushed: whether every endpoint took it."""
    config = read_limited(path)
    # Nobody could scrape it in time, and an agent beside it may have the address.
    config = replace(config, expose=replace(config.expose, listen_address=None))
    _need_a_sink(config, path)
    clock = Clock()
    endpoints = partial(make_endpoints, config, clock, stale_on_exit=False, beside=True)
    return build_agent(config, endpoints, clock).once()


def check(path: Path) -> None:
    """Raise ConfigError for what is wrong; say on stdout that nothing is.

    What only a systemd unit knows is no mistake outside of it, but a warning.
    """
    config = read_config(path, check_files=True)
    checks = [partial(check_limits_in, path, config), partial(_need_a_sink, config, path)]
    if not left_to_the_unit(str(config.expose.web_config_file), os.environ):
        checks.append(partial(check_web_config, config))
    problems = [problem for each in checks for problem in _problems(each)]
    if problems:
        raise ConfigError(problems)
    for text in privilege.missing(config):
        logger.warning("%s", text)
    sys.stdout.write(f"{path}: this configuration can be used\n")


def _problems(check: Callable[[], None]) -> list[str]:
    """What the check raises ConfigError for."""
    try:
        check()
    except ConfigError as error:
        return error.problems
    return []


def _need_a_sink(config: Config, path: Path) -> None:
    if not config.has_sink():
        raise ConfigError(
            [f"{path}: nothing to push to; add remote_write or pushgateway (see ss-pusher sample-config)"]
        )
