"""Sockets that end at a deadline, and the look-up of names, which the system gives no timeout."""

import shlex
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ss_pusher.send.deadline import Deadline, DeadlineContext, DeadlineSocket
from tests import needs


@pytest.mark.parametrize(
    "operation",
    [
        lambda sock: sock.recv(1),
        lambda sock: sock.recv_into(bytearray(1)),
        lambda sock: sock.sendall(b"x"),
        lambda sock: sock.makefile("rb", buffering=0).read(1),
    ],
    ids=["recv", "recv_into", "sendall", "file"],
)
def test_no_operation_begins_after_the_deadline(operation: Callable[[DeadlineSocket], object]) -> None:
    one, other = socket.socketpair()
    with other, DeadlineSocket(fileno=one.detach()) as sock:
        other.sendall(b"there is something to read")
        sock.deadline = Deadline(lambda: 1000.0)
        sock.deadline.set(1001.0)
        operation(sock)
        sock.deadline.set(1000.0)
        with pytest.raises(TimeoutError, match="the deadline of the exchange has passed"):
            operation(sock)


def test_no_handshake_begins_after_the_deadline() -> None:
    one, other = socket.socketpair()
    one.settimeout(1.0)
    context = DeadlineContext(ssl.PROTOCOL_TLS_CLIENT)
    context.deadline = Deadline(lambda: 1000.0)
    context.deadline.set(1000.0)
    with one, other, pytest.raises(TimeoutError, match="the deadline of the exchange has passed"):
        context.wrap_socket(one, server_hostname="push.example")


# Run in namespaces of its own, in which the only name server takes questions and never answers.
SCRIPT = """
import socket, sys, time
from ss_pusher.send.exchange import Call
from ss_pusher.send.http import Client
from ss_pusher.send.session import HttpSettings

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
    python = shlex.quote(sys.executable)
    inside = f"ip link set lo up && mount --bind {resolv_conf} /etc/resolv.conf && exec {python} script.py"
    argv = [needs.command("unshare"), "--mount", "--net", "sh", "-c", inside]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=25, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        needs.unavailable(f"no namespaces here: {done.stderr.strip()}")

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["no complete answer before the deadline", "1"]
