# noqa: INP001 - a script, not a package
"""Looks the locked dependencies up in a database of vulnerabilities, by the pip-audit beside this Python.

Exit code 0: none is known, or nobody could be asked, which is said. 1: there are some, or it is not certain.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

LOCKS: Final = ("requirements.lock", "requirements-build.lock")
SERVICES: Final = ("pypi", "osv")
_NO_ANSWER: Final = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "Could not connect", "ServiceError")


def audit() -> int:
    """Ask the first service that answers; the exit code."""
    for service in SERVICES:
        done = _ask(service)
        if not done.stdout.strip():
            if not any(sign in done.stderr for sign in _NO_ANSWER):
                _say(f"pip-audit failed:\n{done.stderr}")
                return 1
            _say(f"{service}: cannot be reached: {done.stderr.strip().splitlines()[-1]}")
            continue
        code = judge(service, json.loads(done.stdout)["dependencies"])
        if code is not None:
            return code
    _say("NOT AUDITED: no database of vulnerabilities can be reached from here.")
    return 0


def judge(service: str, packages: Sequence[dict[str, Any]]) -> int | None:
    """Say what was found; None if not one package is known to it. `packages` is as in pip-audit's JSON."""
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    found = [(package, each) for package in packages for each in package.get("vulns", ())]
    if len(unknown) == len(packages):
        _say(f"{service}: cannot be reached: it answers, but knows none of the {len(packages)} packages")
        return None
    for package, each in found:
        mended = ", ".join(each["fix_versions"]) or "no version"
        _say(f"{service}: {package['name']} {package['version']}: {each['id']}, mended in {mended}")
    for name in unknown:
        _say(f"{service}: {name}: was not looked up")
    if found or unknown:
        return 1
    _say(f"{service}: no vulnerability is known of {len(packages)} packages")
    return 0


def _ask(service: str) -> subprocess.CompletedProcess[str]:
    files = [option for lock in LOCKS for option in ("--requirement", lock)]
    offline = ["--disable-pip", "--require-hashes"]  # the lock files are complete
    form = ["--format", "json", "--progress-spinner", "off", "--timeout", "15", "--vulnerability-service", service]
    command = [str(Path(sys.executable).parent / "pip-audit"), *files, *offline, *form]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(audit())
