"""`make audit` is green only when somebody was asked and knew of nothing, or says plainly that nobody could be."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent.parent / ".ci/audit.py"

# As pip-audit 2.10.1 writes them.
WELL: dict[str, Any] = {"name": "rich", "version": "15.0.0", "vulns": []}
ILL: dict[str, Any] = {
    "name": "jinja2",
    "version": "2.4.1",
    "vulns": [{"id": "PYSEC-2014-8", "fix_versions": ["2.7.3"], "aliases": ["CVE-2014-1402"], "description": "…"}],
}
UNKNOWN = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited: idna (3.20)"}
NO_NETWORK = """Traceback (most recent call last):
  File "requests/adapters.py", line 729, in send
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='api.example', port=443): Max retries exceeded
"""


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([WELL, WELL], 0, "osv: no vulnerability is known of 2 packages\n"),
        ([WELL, ILL], 1, "osv: jinja2 2.4.1: PYSEC-2014-8, mended in 2.7.3\n"),
        ([WELL, UNKNOWN], 1, "osv: idna: was not looked up\n"),
        ([UNKNOWN], None, "osv: cannot be reached: it answers, but knows none of the 1 packages\n"),
    ],
)
def test_an_answer_is_judged(
    packages: list[dict[str, Any]], code: int | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runpy.run_path(str(SCRIPT))["judge"]("osv", packages) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("trouble", "code", "said"),
    [(NO_NETWORK, 0, "NOT AUDITED"), ("Traceback\nKeyError: 'vulns'\n", 1, "pip-audit failed:\nTraceback\nKeyError")],
)
def test_only_that_nobody_can_be_asked_is_no_failure(tmp_path: Path, trouble: str, code: int, said: str) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    tool = tmp_path / "pip-audit"
    tool.write_text('#!/bin/sh\nprintf %s "$TROUBLE" >&2\nexit 1\n')
    tool.chmod(0o755)
    command = [tmp_path / "python", SCRIPT]
    environment = {**os.environ, "TROUBLE": trouble}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
