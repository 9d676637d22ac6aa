"""The look-up of names, which the system gives no timeout."""

import subprocess
import sys
from pathlib import Path

from tests import needs

# Run in namespaces of its own, in which the only name server takes questions and never answers.
SCRIPT = """
import socket, sys, time
from ss_pusher.send.exchange import Call
from ss_pusher.send.http import Client, HttpSettings

silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.53", 53))
started = time.monotonic()
outcome = Client(HttpSettings()).send(Call("POST", "http://push.example/"), started + 0.3)
print(outcome.words)
print(silent.recv(1500).count(b"example"))
"""


def test_a_name_server_that_is_silent_cannot_stretch_the_deadline(tmp_path: Path) -> None:
    needs.root()
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.53\noptions timeout:30 attempts:5\n", encoding="ascii")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="ascii")
    inside = f"ip link set lo up && mount --bind {resolv_conf} /etc/resolv.conf && exec {sys.executable} script.py"
    argv = [needs.command("unshare"), "--mount", "--net", "sh", "-c", inside]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=25, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        needs.unavailable(f"no namespaces here: {done.stderr.strip()}")

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["no complete answer before the deadline", "1"]
