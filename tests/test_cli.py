"""The command line: what each way to call it prints, where, and with which exit code."""

import argparse
import json
import logging
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ss_pusher import __version__, cli
from ss_pusher.receiver import Receiver
from tests.command import ENVIRONMENT, EXECUTABLE, run, running, written
from tests.servers import free_port

COMMANDS = next(
    tuple(action.choices)
    for action in cli._parser()._actions
    if isinstance(action, argparse._SubParsersAction) and action.choices
)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The commands set up the logging of the process, which here is that of all tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("urllib3").setLevel(logging.NOTSET)


def ends(*arguments: str) -> int:
    """The exit code of a command that argparse answers."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


# ---- help, usage, version -------------------------------------------------------------------------------------------


def test_the_commands_are_those_that_are_documented() -> None:
    documented = {"agent", "once", "preview", "check-config", "sample-config", "receive", "demo", "version"}
    assert documented <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(command, "--help") == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: ss-pusher {command} ")
    codes = "exit codes: 0 done, 1 a push failed, 2 wrong usage or configuration, 3 this host cannot do it"
    if command == "run":
        codes = "exit codes: the job's own; 128+N where signal N ended it, 127 not found, 126 not executable; 2 wrong"
    assert codes in " ".join(out.split())
    assert err == ""


def test_the_help_names_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends("--help") == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s+\w+", out, re.MULTILINE), command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "required: COMMAND"),
        (("agnet",), "invalid choice: 'agnet'"),
        (("agent",), "required: --config"),
        (("agent", "--expose", "8090"), "argument --expose: '8090' is no address to listen on; write HOST:PORT"),
        (("once", "--config"), "expected one argument"),
        (("check-config",), "required: FILE"),
        (("version", "now"), "unrecognized arguments: now"),
        (("preview", "--format", "xml"), "argument --format: 'xml' is none of table, prometheus, json"),
        (("preview", "--ticks", "0"), "argument --ticks: '0' is no whole number from 1 on"),
        (("preview", "--ticks", "9" * 5000), "argument --ticks: "),
        (("preview", "--interval", "-1"), "argument --interval: '-1' is no number of seconds within a day"),
        (("preview", "--interval", "nan"), "argument --interval: 'nan' is no number of seconds within a day"),
        (("version", "--log-level", "loud"), "argument --log-level: 'loud' is none of debug, info, warning, error"),
    ],
)
def test_wrong_usage_is_said_on_stderr(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(*arguments) == cli.Exit.WRONG_USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert ends("--version") == 0
    assert capsys.readouterr().out == f"ss_pusher {__version__}\n" * 2


# ---- the environment ------------------------------------------------------------------------------------------------


def test_an_option_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SS_PUSHER_CONFIG", str(tmp_path / "missing.yml"))
    assert cli.main(["once"]) == cli.Exit.WRONG_USAGE


def test_an_argument_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SS_PUSHER_CONFIG", "/no/such/file")
    assert cli.main(["once", "--config", str(tmp_path / "missing.yml")]) == cli.Exit.WRONG_USAGE
    assert "/no/such/file" not in capsys.readouterr().err


def test_a_bad_value_from_the_environment_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SS_PUSHER_TICKS", "many")
    assert ends("preview") == cli.Exit.WRONG_USAGE
    assert "--ticks: 'many' is no whole number from 1 on (from SS_PUSHER_TICKS)" in capsys.readouterr().err


def test_a_variable_disturbs_no_command_that_has_not_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SS_PUSHER_FORMAT", "xml")
    monkeypatch.setenv("SS_PUSHER_TICKS", "many")
    assert cli.main(["version"]) == 0


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SS_PUSHER_LOG_LEVEL", "")
    assert cli.main(["version"]) == 0
    monkeypatch.setenv("SS_PUSHER_CONFIG", "")
    assert ends("agent") == cli.Exit.WRONG_USAGE
    assert "required: --config" in capsys.readouterr().err


# ---- the log --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("--log-format", "json"), ()])
def test_all_that_is_on_stderr_parses_where_json_is_wanted(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    environment = {} if arguments else {"SS_PUSHER_LOG_FORMAT": "json"}
    refused = f"shutdown_deadline: 100ms\nremote_write: [{{url: 'http://127.0.0.1:{free_port()}/'}}]"
    for text, code in (("interval: soon\nlimit: {hold: x}", 2), (refused, 1)):
        done = run("once", "--config", written(tmp_path, text), *arguments, **environment)
        assert done.returncode == code
        records = [json.loads(line) for line in done.stderr.splitlines()]
        assert records
        assert all({"time", "level", "logger", "message"} <= set(record) for record in records)


def test_the_level_decides_what_is_said(tmp_path: Path) -> None:
    file = written(tmp_path, f"shutdown_deadline: 50ms\nremote_write: [{{url: 'http://127.0.0.1:{free_port()}/'}}]")
    assert " WARNING " in run("once", "--config", file, "--log-level", "warning").stderr
    assert run("once", "--config", file, "--log-level", "error").stderr == ""


# ---- stdout and interruption ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample-config",),
        ("version",),
        ("--help",),
        ("preview", "--ticks", "1"),
        ("preview", "--ticks", "1", "--format", "json"),
        ("preview", "--ticks", "1", "--format", "prometheus"),
    ],
)
def test_a_reader_who_has_had_enough_is_no_error(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    argv = [EXECUTABLE, *arguments]
    done = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=30, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_interrupted_preview_ends_without_a_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    assert cli.main(["preview"]) == cli.Exit.INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_receiver_is_ended_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "receive", "--listen", "127.0.0.1:0") as receiver:
        receiver.wait_for(lambda: "listening" in receiver.said(), "that it listens")
        assert receiver.stop(number) == 0
        assert receiver.logged() == ""


# ---- a host that cannot do it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["once", "agent", "preview"])
@pytest.mark.parametrize("missing", ["AF_NETLINK", "TCP_INFO"])
def test_a_host_that_is_no_linux_is_told_so(
    command: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(socket, missing)
    file = written(tmp_path, "remote_write: [{url: 'http://127.0.0.1:1/'}]")
    assert cli.main([command, "--config", file]) == cli.Exit.UNSUPPORTED_HOST
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ss-pusher: this host has no ")
    assert line.endswith("; TCP statistics are read from Linux only")


# ---- check-config ---------------------------------------------------------------------------------------------------

BAD = """\
interval: soon
intervall: 15s
collect: {loopback: maybe, families: [ipv5]}
filter:
  - drop: {remote_networks: [10.0.0.300/8, 10.0.0.1/8]}
  - keep: {service_ports: [0, 9000-8000, http]}
external_labels: {"my-label": x}
limit: {max_series: many}
remote_write:
  - url: mimir.example/push
pushgateway:
  - {url: "http://host:port", job: ""}
spool: {max_bytes: 1 PB}
"""
PLACES = """\
1: interval
2: intervall
3: collect.loopback
3: collect.families[0]
5: filter[0].drop.remote_networks[0]
5: filter[0].drop.remote_networks[1]
6: filter[1].keep.service_ports[0]
6: filter[1].keep.service_ports[1]
6: filter[1].keep.service_ports[2]
7: external_labels.my-label
8: limit.max_series
10: remote_write[0].url
12: pushgateway[0].url
12: pushgateway[0].job
13: spool.max_bytes
"""
RIGHT = {
    "interval": "write one like 30s",
    "intervall": "interval",
    "collect.families[0]": "ipv4, ipv6",
    "filter[0].drop.remote_networks[1]": "10.0.0.0/8 would be right",
    "filter[1].keep.service_ports[1]": "8000-9000 would be right",
    "external_labels.my-label": "my_label would be right",
    "remote_write[0].url": "http://",
    "spool.max_bytes": "write one like 64MiB",
}


def test_every_error_of_a_file_is_told_at_once_with_its_place_and_what_would_be_right(tmp_path: Path) -> None:
    file = written(tmp_path, BAD)
    done = run("check-config", file)
    assert (done.returncode, done.stdout) == (cli.Exit.WRONG_USAGE, "")
    said = [line.removeprefix(f"ss-pusher: {file}:") for line in done.stderr.splitlines()]
    assert [": ".join(line.split(": ")[:2]) for line in said] == PLACES.splitlines()
    reasons = {line.split(": ")[1]: line for line in said}
    assert {place for place, right in RIGHT.items() if right not in reasons[place]} == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n- list\n", ":1: expects keys with values"),
        ("interval: 15s\nlimit: {hold: 4\n", ":3:1: is no valid YAML"),
        ("interval: 15s\n", "nothing to push to; add remote_write or pushgateway"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_so(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("check-config",), ("once", "--config"), ("agent", "--config")):
        assert cli.main([*command, written(tmp_path, text)]) == cli.Exit.WRONG_USAGE
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert err.count("\n") == 1


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-config", str(tmp_path / "none.yml")]) == cli.Exit.WRONG_USAGE
    assert capsys.readouterr().err == f"ss-pusher: {tmp_path}/none.yml: there is no such file\n"


def test_limits_without_room_for_what_is_always_exported_are_a_wrong_configuration(tmp_path: Path) -> None:
    file = written(tmp_path, "limit: {max_series: 10}\nremote_write: [{url: 'http://127.0.0.1:1/'}]")
    done = run("once", "--config", file)
    assert done.returncode == cli.Exit.WRONG_USAGE
    assert f"{file}: limit.max_series: 10 is too small: what is always exported needs " in done.stderr


def test_a_right_file_is_told_to_be_right(tmp_path: Path) -> None:
    file = written(tmp_path, "remote_write: [{url: 'http://127.0.0.1:1/'}]")
    done = run("check-config", file)
    assert (done.returncode, done.stdout) == (0, f"{file}: this configuration can be used\n")


# ---- what starting costs --------------------------------------------------------------------------------------------


def imported(stderr: str) -> set[str]:
    """The modules that a process imported, by what PYTHONPROFILEIMPORTTIME made it say."""
    return {line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")}


PROFILE = {"PYTHONPROFILEIMPORTTIME": "1"}
HEAVY = {"numpy", "requests", "google.protobuf", "prometheus_client", "snappy", "pyroute2", "rich", "grpc"}


@pytest.mark.parametrize("command", ["version", "sample-config"])
def test_a_command_that_reads_no_sockets_pays_for_no_library_that_does(command: str) -> None:
    modules = imported(run(command, **PROFILE).stderr)
    assert "ss_pusher.cli" in modules
    assert modules & HEAVY == set()


def test_the_service_pays_for_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    with Receiver() as receiver:
        text = f"remote_write: [{{url: '{receiver.url}/api/v1/write'}}]"
        with running(tmp_path, "agent", "--config", written(tmp_path, text), environment=PROFILE) as agent:
            agent.wait_for(lambda: receiver.series, "the first push")
            assert agent.stop() == 0
            modules = imported(agent.logged())
    assert "ss_pusher.netlink.dump" in modules
    assert modules & {"pyroute2", "rich", "grpc"} == set()
