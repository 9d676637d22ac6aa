"""The commands. Each imports what it needs when it runs: starting must not pay for what is not used."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from ss_pusher import __version__
from ss_pusher.errors import ConfigError, SsPusherError, UnsupportedHostError

_EXIT_CODES: Final = """exit codes: 0 done, 1 a push failed, 2 wrong usage or configuration, 3 this host cannot do it
(not Linux, no sock_diag). Every option may also come from the environment: --log-format from SS_PUSHER_LOG_FORMAT."""


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    PUSH_FAILED = 1
    WRONG_USAGE = 2
    UNSUPPORTED_HOST = 3
    INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code, see `Exit`."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE


def _run(options: argparse.Namespace) -> int:
    from ss_pusher import logs

    logs.set_up(options.log_format, options.log_level)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        return _refuse(Exit.WRONG_USAGE, *error.problems)
    except UnsupportedHostError as error:
        return _refuse(Exit.UNSUPPORTED_HOST, str(error))
    except SsPusherError as error:
        return _refuse(Exit.PUSH_FAILED, str(error))


def _refuse(code: Exit, *reasons: str) -> Exit:
    for reason in reasons:
        print(f"ss-pusher: {reason}", file=sys.stderr)
    return code


# ---- commands -------------------------------------------------------------------------------------------------------


def _agent(options: argparse.Namespace) -> int:
    from ss_pusher.app import commands

    commands.agent(options.config)
    return Exit.DONE


def _once(options: argparse.Namespace) -> int:
    from ss_pusher.app import commands

    return Exit.DONE if commands.once(options.config) else Exit.PUSH_FAILED


def _preview(options: argparse.Namespace) -> int:
    from ss_pusher import preview

    preview.show(options.config, options.format, options.ticks, options.interval)
    return Exit.DONE


def _check_config(options: argparse.Namespace) -> int:
    from ss_pusher.app import commands

    commands.check(options.file)
    return Exit.DONE


def _sample_config(_options: argparse.Namespace) -> int:
    from ss_pusher.config.sample import sample

    print(sample(), end="")
    return Exit.DONE


def _receive(options: argparse.Namespace) -> int:
    from ss_pusher.app import commands

    commands.receive(options.listen)
    return Exit.DONE


def _demo(_options: argparse.Namespace) -> int:
    from ss_pusher import demo

    return Exit.DONE if demo.run() else Exit.PUSH_FAILED


def _version(_options: argparse.Namespace) -> int:
    print(f"ss_pusher {__version__}")
    return Exit.DONE


# ---- options --------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ss-pusher",
        description="TCP health for the hosts that nobody can scrape: what `ss -ti` shows, pushed to Prometheus.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"ss_pusher {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary, epilog=_EXIT_CODES)
        command.set_defaults(command=run)
        _option(command, "--log-format", choices=("text", "json"), default="text", help="of the log on stderr")
        _option(command, "--log-level", choices=("debug", "info", "warning", "error"), default="info")
        return command

    agent = add("agent", _agent, "the service: read this host's sockets at an interval, and push")
    _option(agent, "--config", type=Path, required=True, metavar="FILE")
    once = add("once", _once, "one tick, pushed")
    _option(once, "--config", type=Path, required=True, metavar="FILE")
    preview = add("preview", _preview, "show what would be pushed and what it costs, and send nothing")
    _option(preview, "--config", type=Path, metavar="FILE", help="by default the sample's, with loopback")
    _option(preview, "--format", choices=("table", "prometheus", "json"), default="table")
    _option(preview, "--ticks", type=_positive_int, default=2, metavar="N", help="how often to read (default: 2)")
    _option(preview, "--interval", type=_seconds, metavar="SECONDS", help="between ticks (default: 1)", default=1.0)
    check = add("check-config", _check_config, "check a configuration and name every error in it")
    check.add_argument("file", type=Path, metavar="FILE")
    add("sample-config", _sample_config, "print a configuration with every key and its meaning")
    receive = add("receive", _receive, "take remote write and a Pushgateway's calls, and show what arrives")
    _option(receive, "--listen", default="127.0.0.1:9099", metavar="ADDRESS", help="default: 127.0.0.1:9099")
    add("demo", _demo, "push this host's flows to a receiver on loopback for some seconds, and show what arrived")
    add("version", _version, "print the version")
    return parser


def _option(parser: argparse.ArgumentParser, flag: str, **settings: Any) -> None:
    """Add an option that may come from the environment too. What comes from there is checked like an argument."""
    variable = "SS_PUSHER_" + flag.removeprefix("--").replace("-", "_").upper()
    if variable in os.environ:
        value = os.environ[variable]
        choices = settings.get("choices")
        if choices and value not in choices:
            parser.error(f"{variable}: {value!r} is none of {', '.join(choices)}")
        settings |= {"default": value, "required": False}
    parser.add_argument(flag, **settings)


def _positive_int(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < _A_DAY:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds within a day")
    return seconds


_A_DAY: Final = 86400.0
