"""The commands. Each imports what it needs when it runs: starting must not pay for what is not used."""

import argparse
import atexit
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final

from ss_pusher import __version__
from ss_pusher.app.options import duration, listen_address, one_of, option, positive_int, seconds, switched_on
from ss_pusher.errors import ConfigError, SsPusherError, UnsupportedHostError

_EXIT_CODES: Final = """exit codes: 0 done, 1 a push failed, 2 wrong usage or configuration, 3 this host cannot do it
(not Linux, no sock_diag). Every option may also come from the environment: --log-format from SS_PUSHER_LOG_FORMAT."""


_RUN_EXIT_CODES: Final = """exit codes: the job's own; 128+N where signal N ended it, 127 not found, 126 not executable;
2 wrong usage or configuration, and the job was not started. Every option may also come from the environment, and so to
a run inside this one: --job from SS_PUSHER_JOB."""
_LAST_WORDS: Final = 1.0
"""Seconds in which it must be possible to write why a job was not started."""


class Exit(IntEnum):
    """What a command's exit code says."""

    DONE = 0
    PUSH_FAILED = 1
    WRONG_USAGE = 2
    UNSUPPORTED_HOST = 3
    INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code, see `Exit`."""
    try:
        try:
            return _run(_parser().parse_args(arguments))
        finally:
            # Python flushes at exit by itself, but then nobody catches what goes wrong.
            print(end="", flush=True)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()  # whoever read our output has had enough
        return Exit.DONE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _give_up_stdout()
        print(f"ss-pusher: the output cannot be written: {error.strerror}", file=sys.stderr)
        return Exit.PUSH_FAILED


def _give_up_stdout() -> None:
    """Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> int:
    from ss_pusher import logs

    logs.set_up(options.log_format, options.log_level)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except ConfigError as error:
        return _refuse(options, Exit.WRONG_USAGE, *error.problems)
    except UnsupportedHostError as error:
        return _refuse(options, Exit.UNSUPPORTED_HOST, str(error))
    except SsPusherError as error:
        return _refuse(options, Exit.PUSH_FAILED, str(error))


def _refuse(options: argparse.Namespace, code: Exit, *reasons: str) -> Exit:
    for reason in reasons:
        if options.log_format == "json":
            logging.getLogger(__name__).error("%s", reason)
        else:
            print(f"ss-pusher: {reason}", file=sys.stderr)
    return code


# ---- commands -------------------------------------------------------------------------------------------------------


def _agent(options: argparse.Namespace) -> int:
    from ss_pusher.stop import leave, stop_on_signals

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    with stop_on_signals() as stop:  # before the rest is loaded, which takes a while
        from ss_pusher.app import commands

        commands.agent(options.config, stop, options.expose)
    leave(Exit.DONE)


def _once(options: argparse.Namespace) -> int:
    from ss_pusher.app import commands

    return Exit.DONE if commands.once(options.config) else Exit.PUSH_FAILED


def _job(options: argparse.Namespace) -> int:
    from ss_pusher import logs
    from ss_pusher.batch import process
    from ss_pusher.batch.stderr import Stderr

    process.open_closed_streams()
    sys.stderr = stderr = Stderr()  # the job's exit code does not hang on whether anything can be said
    atexit.register(stderr.drain, _LAST_WORDS)
    logs.set_up(options.log_format, options.log_level)
    command = options.arguments[1:] if options.arguments[:1] == ["--"] else options.arguments
    if not command:
        return _refuse(options, Exit.WRONG_USAGE, "run: no command is given; write: ss-pusher run -- COMMAND …")
    with process.Waiting(command, process.hold_signals()) as waiting:
        from ss_pusher.app.run import Wish, run

        wish = Wish(
            config=options.config,
            command=command,
            job=options.job,
            labels=options.label,
            run_id=options.run_id,
            interval=options.interval,
            summary=options.summary,
        )
        return run(wish, waiting, stderr)


def _prune(options: argparse.Namespace) -> int:
    from ss_pusher.app.prune import prune

    done = prune(options.url, options.older_than, options.job or None, options.config, dry_run=options.dry_run)
    return Exit.DONE if done else Exit.PUSH_FAILED


def _preview(options: argparse.Namespace) -> int:
    from ss_pusher import preview

    if options.explain:
        preview.explain(options.config, options.format)
    else:
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


def _convert_config(options: argparse.Namespace) -> int:
    from ss_pusher.config.ss_exporter import convert_file

    converted = convert_file(options.file)
    for remark in converted.ignored:
        print(f"ss-pusher: {remark}; left out", file=sys.stderr)
    print(converted.text, end="")
    return Exit.DONE


def _receive(options: argparse.Namespace) -> int:
    from ss_pusher.app.receive import receive

    receive(options.listen)
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

    def add(
        name: str, run: Callable[[argparse.Namespace], int], summary: str, *, level: str = "info"
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary, epilog=_EXIT_CODES)
        command.set_defaults(command=run)
        formats, levels = one_of("text", "json"), one_of("debug", "info", "warning", "error")
        option(command, "--log-format", formats, metavar="FORMAT", default="text", help="text (default) or json")
        least = f"debug, info, warning or error (default: {level})"
        option(command, "--log-level", levels, metavar="LEVEL", default=level, help=least)
        return command

    _add_agent(add("agent", _agent, "the service: read this host's sockets at an interval, and push"))
    once = add("once", _once, "one tick, pushed")
    option(once, "--config", Path, required=True, metavar="FILE")
    _add_run(add("run", _job, "run a batch job, watch its sockets, and push before it ends with the job's exit code"))
    _add_prune(add("prune", _prune, "delete the groups from a Pushgateway to which nobody pushes any more"))
    _add_preview(add("preview", _preview, "show what would be pushed and what it costs, and send nothing"))
    check = add("check-config", _check_config, "check a configuration and name every error in it")
    check.add_argument("file", type=Path, metavar="FILE")
    add("sample-config", _sample_config, "print a configuration with every key and its meaning")
    convert = add("convert-config", _convert_config, "turn a configuration of prometheus_ss_exporter into one of ours")
    convert.add_argument("file", type=Path, metavar="FILE")
    receive = add("receive", _receive, "take remote write and a Pushgateway's calls, and show what arrives")
    where = "127.0.0.1:9090"
    option(receive, "--listen", str, metavar="ADDRESS", default=where, help=f"HOST:PORT (default: {where})")
    push = "push this host's flows to a receiver on loopback for some seconds, and show what arrived"
    add("demo", _demo, push, level="warning")
    add("version", _version, "print the version")
    return parser


def _add_agent(agent: argparse.ArgumentParser) -> None:
    option(agent, "--config", Path, required=True, metavar="FILE")
    text = "serve /metrics and /health here, whatever the configuration says; :8090 is every address of this host"
    option(agent, "--expose", listen_address, metavar="ADDRESS", help=text)


def _add_preview(preview: argparse.ArgumentParser) -> None:
    option(preview, "--config", Path, metavar="FILE", help="without it, every setting has its default")
    forms = one_of("table", "prometheus", "json")
    option(preview, "--format", forms, metavar="FORMAT", default="table", help="table (default), prometheus or json")
    option(preview, "--ticks", positive_int, metavar="N", default=2, help="how often to read (default: 2)")
    option(preview, "--interval", seconds, metavar="SECONDS", default=1.0, help="between ticks (default: 1)")
    explain = switched_on("SS_PUSHER_EXPLAIN")
    text = "show instead which rule of the filter is applied where, and to how many sockets"
    preview.add_argument("--explain", action="store_true", default=explain, help=text)


def _add_run(run: argparse.ArgumentParser) -> None:
    option(run, "--config", Path, metavar="FILE", help="default: /etc/ss-pusher/config.yml, if that can be used")
    option(run, "--job", str, metavar="NAME", default="", help="the label job (default: the command's file name)")
    labels = [given] if (given := os.environ.get("SS_PUSHER_LABEL")) else []
    text = "one more label of every series; may be given several times"
    run.add_argument("--label", action="append", default=labels, metavar="NAME=VALUE", help=text)
    option(run, "--run-id", str, metavar="ID", default="", help="the label run_id (default: no such label)")
    option(run, "--interval", duration, metavar="DURATION", help="push while the job runs too, like 15s")
    summary = switched_on("SS_PUSHER_SUMMARY")
    text = "say on stderr in the end whom the job talked to"
    run.add_argument("--summary", action="store_true", default=summary, help=text)
    run.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND …", help="the job")
    # What the job writes to stderr is not to be mixed with what is no problem.
    run.set_defaults(log_level=os.environ.get("SS_PUSHER_LOG_LEVEL") or "warning")
    run.epilog = _RUN_EXIT_CODES


def _add_prune(prune: argparse.ArgumentParser) -> None:
    option(prune, "--url", str, required=True, metavar="URL", help="the Pushgateway")
    text = "how long ago the last push must be, like 1h"
    option(prune, "--older-than", duration, required=True, metavar="DURATION", help=text)
    option(prune, "--job", str, metavar="NAME", default="", help="only the groups of this job")
    text = "a configuration whose pushgateway block of this URL says how to connect (credentials, TLS, proxy)"
    option(prune, "--config", Path, metavar="FILE", help=text)
    dry_run = switched_on("SS_PUSHER_DRY_RUN")
    prune.add_argument("--dry-run", action="store_true", default=dry_run, help="only say what would be deleted")
