"""What a configuration asks for in vain is said, with the way to give it; and nothing else is said."""

import pytest

from ss_pusher.app.privilege import missing
from tests.attribute.test_process import as_nobody
from tests.config.parsing import config

BY_PROCESS = (
    "group: {by: [pid]}",
    "group: {by: [direction, command]}",
    "filter: [{drop: {pids: [1]}}]",
    "filter: [{keep: {commands: [nginx]}}]",
    "metrics: {preset: ss_exporter, ss_exporter: {flow: pid_condensed}}",
)


@pytest.mark.parametrize("text", BY_PROCESS)
def test_without_privilege_process_names_are_said_to_be_missing(text: str) -> None:
    wanted = config(text)
    (said,) = as_nobody(lambda: list(missing(wanted)))
    assert "CAP_SYS_PTRACE" in said
    assert "process-names.conf" in said


def test_without_privilege_marks_are_said_to_match_nothing() -> None:
    wanted = config("filter: [{drop: {marks: [1]}}]")
    (said,) = as_nobody(lambda: list(missing(wanted)))
    assert "CAP_NET_ADMIN" in said


@pytest.mark.parametrize(
    "text", ["group: {by: [unit, user]}", "metrics: {preset: ss_exporter}", "filter: [{drop: {units: [a]}}]"]
)
def test_what_nobody_asks_for_is_not_missed(text: str) -> None:
    wanted = config(text)
    assert as_nobody(lambda: list(missing(wanted))) == []


@pytest.mark.parametrize("text", [*BY_PROCESS, "filter: [{drop: {marks: [1]}}]"])
def test_with_privilege_nothing_is_missing(text: str) -> None:
    as_nobody(lambda: None)  # needs root as the others do
    assert list(missing(config(text))) == []
