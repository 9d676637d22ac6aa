"""How commands end when a signal tells them to."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ss_pusher.receiver import Receiver
from ss_pusher.stop import stop_on_signals
from tests.command import PATIENCE, run, running, written
from tests.send.scripted import Peer, scripted
from tests.waiting import wait_for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_and_the_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop.is_set()
        assert not stop.wait(0.001)
        os.kill(os.getpid(), number)
        assert stop.wait()
        assert stop.is_set()
    assert signal.getsignal(number) is before


def test_a_signal_ends_a_wait() -> None:
    began = time.monotonic()
    with stop_on_signals() as stop:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        assert stop.wait(60)
    assert time.monotonic() - began < 30


def test_the_second_signal_ends_a_service_that_takes_too_long_to_end(tmp_path: Path) -> None:
    def silence(peer: Peer) -> None:
        peer.wait_until_closed()

    with scripted(silence) as server:
        text = f"shutdown_deadline: 1h\nremote_write: [{{url: '{server.url}', remote_timeout: 1h}}]"
        with running(tmp_path, "agent", "--config", written(tmp_path, text)) as agent:
            agent.wait_for(lambda: server.requests, "a request that hangs")
            agent.process.send_signal(signal.SIGTERM)
            agent.wait_for(lambda: "stopping" in agent.logged(), "that it ends")

            def is_over() -> bool:
                agent.process.send_signal(signal.SIGTERM)  # within a moment of the first it means the same
                return agent.process.poll() is not None

            wait_for(is_over, "the end", PATIENCE)
            assert agent.process.returncode == -signal.SIGTERM


TWICE = """
import os, signal
from ss_pusher import stop
stop.monotonic = lambda: 7.0
with stop.stop_on_signals() as told:
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    assert told.is_set()
"""


def test_a_signal_within_a_moment_of_the_first_means_the_same() -> None:
    """timeout(1) signals its child, and then the group that it is in."""
    done = subprocess.run([sys.executable, "-c", TWICE], timeout=PATIENCE, check=False)
    assert done.returncode == 0


WHILE_IT_LOADS = """
import os, sys

class Told:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Told())
"""


def test_a_hangup_while_it_loads_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WHILE_IT_LOADS.format(number=int(signal.SIGHUP)))
    with Receiver() as receiver:
        config = written(tmp_path, f'remote_write: [{{url: "{receiver.url}/api/v1/write"}}]\n')
        with running(tmp_path, "agent", "--config", config, environment={"PYTHONPATH": str(tmp_path)}) as agent:
            agent.wait_for(lambda: receiver.requests, "a push")
            assert agent.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_told_to_end_while_it_loads_still_reads_and_pushes(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "sitecustomize.py").write_text(WHILE_IT_LOADS.format(number=int(number)))
    with Receiver() as receiver:
        config = written(tmp_path, f'remote_write: [{{url: "{receiver.url}/api/v1/write"}}]\n')
        done = run("agent", "--config", config, PYTHONPATH=str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert len(receiver.requests) >= 1


STUCK = """
import sys, threading
from ss_pusher import cli
from ss_pusher.app import commands
def stuck(*_arguments):
    threading.Thread(target=threading.Event().wait).start()
    print("done", end="")
commands.agent = stuck
sys.exit(cli.main(sys.argv[1:]))
"""


def test_no_thread_of_the_agent_changes_how_it_ends() -> None:
    """Python would wait for this one, and aborts where one is in C++ when its end begins."""
    script = [sys.executable, "-c", STUCK, "agent", "--config", "any"]
    done = subprocess.run(script, timeout=PATIENCE, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done")
