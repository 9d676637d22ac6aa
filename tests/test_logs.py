"""Log lines: for people, for the journal, for machines."""

import json
import os
import re
import subprocess
import sys

import pytest

HOSTILE = "two\nlines \x1b[31m and \u009b a \u202e bell\x07"
PROGRAM = """
import logging, sys
from ss_pusher import logs
logs.set_up(*sys.argv[1:3])
logger = logging.getLogger("ss_pusher.test")
logger.debug("a debug line")
logger.info("%s said: %s", "mimir", {hostile!r})
logger.error("an error line")
try:
    raise ValueError({hostile!r})
except ValueError:
    logger.exception("a bug")
logging.getLogger("urllib3.connectionpool").warning("what ours says already")
"""


def lines(form: str, level: str = "info", **environment: str) -> list[str]:
    """What the program writes to stderr."""
    argv = [sys.executable, "-c", PROGRAM.format(hostile=HOSTILE), form, level]
    done = subprocess.run(argv, capture_output=True, check=True, env={"PATH": os.defpath, **environment})
    assert done.stdout == b""
    return done.stderr.decode().split("\n")[:-1]


def test_a_record_is_one_line_that_says_when_and_how_bad_whatever_a_server_put_into_it() -> None:
    said, error, bug = lines("text")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO mimir said: .*", said)
    assert said.endswith(r"two\nlines \x1b[31m and \x9b a \x202e bell\x07")
    assert error.endswith(" ERROR an error line")
    assert bug.partition(" ERROR ")[2].startswith(r"a bug\nTraceback (most recent call last):\n")
    assert all(line.isprintable() for line in (said, error, bug))


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 2)])
def test_the_level_is_the_least_that_is_said(level: str, count: int) -> None:
    assert len(lines("text", level)) == count


def test_for_machines_a_record_is_an_object_on_one_line() -> None:
    said, error, bug = map(json.loads, lines("json"))
    assert said["message"] == f"mimir said: {HOSTILE}"
    assert (said["level"], said["logger"]) == ("info", "ss_pusher.test")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", said["time"])
    assert error["message"] == "an error line"
    assert bug["exception"].startswith("Traceback")
    assert all(line.isascii() for line in lines("json"))


def to_a_pipe(journal_stream: str) -> list[str]:
    """What the program writes to a pipe; {} in `journal_stream` is the pipe's device and inode."""
    reading, writing = os.pipe()
    status = os.fstat(writing)
    stream = journal_stream.format(f"{status.st_dev}:{status.st_ino}")
    argv = [sys.executable, "-c", PROGRAM.format(hostile=HOSTILE), "text", "info"]
    with os.fdopen(reading) as output:
        subprocess.run(argv, stderr=writing, check=True, env={"PATH": os.defpath, "JOURNAL_STREAM": stream})
        os.close(writing)
        return output.read().splitlines()


def test_the_journal_gets_levels_and_no_times() -> None:
    said, error, bug = to_a_pipe("{}")
    assert said.startswith("<6>INFO mimir said: ")
    assert error == "<3>ERROR an error line"
    assert bug.startswith("<3>ERROR a bug")


def test_a_terminal_that_inherited_the_journals_variable_is_no_journal() -> None:
    assert to_a_pipe("8:12345")[1].endswith(" ERROR an error line")
    assert not to_a_pipe("8:12345")[1].startswith("<")
