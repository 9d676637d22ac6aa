"""The job under its wrapper is as it would be without: code, signals, terminal, streams, orphans."""

import os
import pty
import select
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests import command, needs, servers
from tests.batch.jobs import NUMBERS, python, run, settings, value
from tests.send.scripted import Peer, reply, scripted
from tests.waiting import wait_for

NOBODY = "http://127.0.0.1:1"
PATIENCE = 20.0


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration whose gateway is not there: what cannot be pushed changes nothing of all this."""
    return command.written(tmp_path, f"{{shutdown_deadline: 50ms, pushgateway: [{{url: '{NOBODY}'}}]}}")


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_is_the_jobs(config: str, code: int) -> None:
    assert run(config, "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [*NUMBERS, signal.SIGKILL, signal.SIGSEGV])
def test_a_job_that_a_signal_killed_has_128_and_its_number(config: str, number: signal.Signals) -> None:
    assert run(config, "sh", "-c", f"ulimit -c 0; kill -{number.value} $$").returncode == 128 + number


@pytest.mark.parametrize("number", NUMBERS)
def test_signals_reach_the_job_and_the_job_decides(config: str, tmp_path: Path, number: signal.Signals) -> None:
    script = f"trap 'echo got it; exit 7' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    with command.running(tmp_path, "run", "--config", config, "--", "sh", "-c", script) as job:
        job.wait_for(lambda: "ready" in job.said(), "the job began")
        assert job.stop(number) == 7
        assert job.said() == "ready\ngot it\n"


OTHERS = ["ALRM", "VTALRM", "PROF", "IO", "PWR", "XCPU", "ABRT", "STKFLT", "TSTP", "CONT", "RTMIN", "RTMAX"]
TAKES_ONE = """
import signal, sys
number = int(sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, {number})
print("ready", flush=True)
signal.sigwait({number})
sys.exit(7)
"""


@pytest.mark.parametrize("name", OTHERS)
def test_others_that_would_end_the_wrapper_reach_the_job_too(config: str, tmp_path: Path, name: str) -> None:
    number = getattr(signal, f"SIG{name}")
    with command.running(tmp_path, "run", "--config", config, "--", *python(TAKES_ONE, int(number))) as job:
        job.wait_for(lambda: "ready" in job.said(), "the job began")
        assert job.stop(number) == 7


def test_a_timer_that_the_wrapper_inherits_ends_the_job(config: str) -> None:
    """As timeouts are made with alarm(2) and exec."""
    alarmed = ["perl", "-e", "alarm 1; exec @ARGV"]
    assert command.run("run", "--config", config, "--", "sleep", "20", prefix=alarmed).returncode == 128 + 14


def test_what_does_not_exist_is_127_and_said(config: str) -> None:
    result = run(config, "/nowhere/to be found")
    assert result.returncode == 127
    assert "cannot run /nowhere/to be found: No such file or directory" in result.stderr
    assert run(config, "").returncode == 127


def test_what_may_not_be_executed_is_126(config: str, tmp_path: Path) -> None:
    (tmp_path / "job").write_text("#!/bin/sh\n")
    result = run(config, str(tmp_path / "job"))
    assert result.returncode == 126
    assert "Permission denied" in result.stderr


def test_a_script_that_names_no_interpreter_is_the_shells(config: str, tmp_path: Path) -> None:
    script = tmp_path / "job"
    script.write_text('echo "$1"; exit 9\n')
    script.chmod(0o755)
    result = run(config, str(script), "a b")
    assert (result.returncode, result.stdout) == (9, "a b\n")


def test_a_binary_that_the_kernel_does_not_take_is_no_script(config: str, tmp_path: Path) -> None:
    binary = tmp_path / "job"
    binary.write_bytes(b"\x7fELF\x02\x01\x01\0\0echo run; exit 9\n")
    binary.chmod(0o755)
    result = run(config, str(binary))
    assert (result.returncode, result.stdout) == (126, "")
    assert f"cannot run {binary}: cannot execute binary file" in result.stderr


def test_the_streams_are_the_jobs_alone(config: str) -> None:
    result = command.run("run", "--config", config, "--", "sh", "-c", "cat; echo to stderr >&2", stdin="some\ntext\n")
    assert result.stdout == "some\ntext\n"
    assert result.stderr.startswith("to stderr\n")


def test_options_after_the_command_are_the_jobs(config: str) -> None:
    assert run(config, "echo", "--config", "--", "-x").stdout == "--config -- -x\n"


def test_whoever_reads_the_output_sees_its_end_when_the_job_ends(tmp_path: Path) -> None:
    """A gateway that answers only after that holds the wrapper, but not the pipe."""
    read = threading.Event()

    def answers(peer: Peer) -> bool | None:
        read.wait(PATIENCE)
        return reply(202)(peer)

    with scripted(answers) as gateway:
        config = command.written(tmp_path, f"{{shutdown_deadline: 5s, pushgateway: [{{url: '{gateway.url}'}}]}}")
        argv = [command.EXECUTABLE, "run", "--config", config, "--", "echo", "done"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.read() == b"done\n"
            read.set()
            assert process.communicate(timeout=PATIENCE)[1] == b""  # the push was not given up
        assert process.returncode == 0


@pytest.mark.parametrize("line", ["SigBlk", "SigIgn"])
def test_the_job_starts_with_the_signals_that_it_would_have(config: str, line: str) -> None:
    job = ["grep", line, "/proc/self/status"]
    plain = subprocess.run(job, capture_output=True, text=True, check=True).stdout
    # 32 and 33 are glibc's own, and its posix_spawn ignores them for the child.
    assert standard(run(config, *job).stdout) == standard(plain)


def standard(line: str) -> int:
    """The signals 1 to 31 of a mask in /proc/PID/status."""
    return int(line.split()[1], 16) & 0x7FFF_FFFF


def test_a_job_that_ignores_hangups_still_does(config: str) -> None:
    result = command.run("run", "--config", config, "--", "sh", "-c", "kill -HUP $$; exit 5", prefix=["nohup"])
    assert result.returncode == 5


def test_a_job_may_be_stopped_and_continued(config: str, tmp_path: Path) -> None:
    """By somebody who knows nothing of the wrapper; there is no terminal whose shell would wait for that one."""
    script = f"echo $$; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 4"
    wrapper = ("run", "--config", config, "--", "sh", "-c", script)
    with command.running(tmp_path, *wrapper, prefix=["setsid"]) as job:
        job.wait_for(job.said, "the job began")
        pid = int(job.said())
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: b" T " in Path(f"/proc/{pid}/stat").read_bytes(), "it is stopped")
        (tmp_path / "go").touch()
        assert job.process.poll() is None
        os.kill(pid, signal.SIGCONT)
        assert job.process.wait(command.PATIENCE) == 4


# ---- a terminal -----------------------------------------------------------------------------------------------------

ASK = 'stty -echo; echo ready; read line; echo "got $line"; test -t 0 && test -t 1 && exit 6'
COUNT = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(time.monotonic()))
print("ready", flush=True)
while not seen or time.monotonic() - seen[0] < 0.5:
    time.sleep(0.05)
print("interrupts", len(seen), flush=True)
"""


def in_terminal(typed: bytes, *argv: str) -> tuple[int, str]:
    """Run in a terminal of its own, type when it is ready; its exit code and what the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted
    shown = b""
    typed_yet = False
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the terminal is gone with the last process that had it
            break
        if b"ready" in shown and not typed_yet:
            os.write(terminal, typed)
            typed_yet = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_the_job_reads_the_terminal(config: str) -> None:
    code, shown = in_terminal(b"hello\n", command.EXECUTABLE, "run", "--config", config, "--", "sh", "-c", ASK)
    assert "got hello" in shown
    assert code == 6


def test_an_interrupt_from_the_keyboard_reaches_the_job_once(config: str) -> None:
    code, shown = in_terminal(b"\x03", command.EXECUTABLE, "run", "--config", config, "--", *python(COUNT))
    assert "interrupts 1" in shown
    assert code == 0


ROUND = 'test -e "$0" && exit; touch "$0"; echo ready; exec sleep 20'
LOOP = """
config=$1 seen=$2 round=$3
for i in 1 2 3; do "$0" run --config "$config" -- sh -c "$round" "$seen"; echo "after $i"; done
"""


def test_an_interrupt_from_the_keyboard_ends_a_shells_loop_too(config: str, tmp_path: Path) -> None:
    """Bash goes on unless what it waited for died of the signal."""
    loop = [needs.command("bash"), "-c", LOOP, command.EXECUTABLE, config, str(tmp_path / "seen"), ROUND]
    code, shown = in_terminal(b"\x03", *loop)
    assert "after" not in shown
    assert code == -signal.SIGINT


@pytest.mark.parametrize(("key", "number"), [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)])
def test_a_key_that_ends_the_job_ends_the_wrapper_alike(
    config: str, tmp_path: Path, key: bytes, number: signal.Signals
) -> None:
    """But the wrapper leaves no core."""
    dumping = [needs.command("bash"), "-c", 'cd "$0" && ulimit -c unlimited; exec "$@"', str(tmp_path)]
    job = ["sh", "-c", "ulimit -c 0; echo ready; exec sleep 20"]
    assert in_terminal(key, *dumping, command.EXECUTABLE, "run", "--config", config, "--", *job)[0] == -number
    assert not list(tmp_path.glob("core*"))


SENT = """
import os, signal
print("ready", flush=True)
os.read(0, 1)
os.kill(os.getppid(), signal.SIGINT)
signal.pause()
"""


def test_an_interrupt_that_somebody_sent_in_a_terminal_is_an_exit_code(config: str) -> None:
    assert in_terminal(b"\n", command.EXECUTABLE, "run", "--config", config, "--", *python(SENT))[0] == 130


SUSPENDED = {
    "itself": ("", "kill -STOP $$"),
    "from the keyboard": ("\x1a", "read line"),
}


@pytest.mark.parametrize("how", list(SUSPENDED))
def test_a_shell_gets_its_terminal_back_when_the_job_stops(config: str, tmp_path: Path, how: str) -> None:
    typed, stops = SUSPENDED[how]
    job = tmp_path / "job"
    job.write_text(f"#!/bin/sh\necho be''gun\n{stops}\necho wo''ken\n")
    job.chmod(0o755)
    shell = [needs.command("bash"), "--norc", "--noprofile", "-i"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(shell[0], shell)  # noqa: S606 - this very shell is wanted
    shown = b""

    def see(wanted: bytes) -> None:
        nonlocal shown
        end = time.monotonic() + PATIENCE
        while wanted not in shown:
            assert select.select([terminal], [], [], end - time.monotonic())[0], shown
            shown += os.read(terminal, 4096)

    try:
        line = shlex.join([command.EXECUTABLE, "run", "--config", config, "--", str(job)])
        os.write(terminal, f"{line}\n".encode())
        see(b"begun")
        os.write(terminal, typed.encode())
        see(b"Stopped")
        os.write(terminal, b"fg\n\n")
        see(b"woken")
        os.write(terminal, b"exit $?\n")
        wait_for(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), "the shell ends")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


# ---- before it starts -----------------------------------------------------------------------------------------------

SLOW = """
import pathlib, sys, time
from ss_pusher import cli
from ss_pusher.app import run
watched = run._session
def slow(*arguments):
    deadline = time.monotonic() + 20
    while not pathlib.Path(sys.argv[1]).exists():
        assert time.monotonic() < deadline, "the job does not start"
        time.sleep(0.01)
    return watched(*arguments)
run._session = slow
sys.exit(cli.main(sys.argv[2:]))
"""


def test_a_job_starts_though_nobody_is_ready_to_watch_it(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    """As on a host with very many sockets: here it takes until the job has begun."""
    started, config = tmp_path / "started", settings(tmp_path, pushgateway.url)
    job = ["run", "--config", config, "--job", "j", "--", "sh", "-c", f'touch "{started}"; exit 5']
    result = subprocess.run(
        python(SLOW, started, *job), capture_output=True, text=True, timeout=command.PATIENCE, check=False
    )
    assert result.returncode == 5, result.stderr
    assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == 5


BROKEN = """
import sys
from ss_pusher import cli
sys.modules["numpy"] = None
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_job_runs_though_nobody_can_watch_it(config: str) -> None:
    """As where a library cannot be loaded."""
    job = ["run", "--config", config, "--summary", "--job", "j", "--", "sh", "-c", "exit 5"]
    result = subprocess.run(python(BROKEN, *job), capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 5
    assert "the job is not watched" in result.stderr
    assert "j: exit code 5 after" in result.stderr


STUCK = """
import sys, threading
from ss_pusher import cli
from ss_pusher.app import run
finish = run._finish
def stuck(*arguments):
    threading.Thread(target=threading.Event().wait).start()
    finish(*arguments)
run._finish = stuck
sys.exit(cli.main(sys.argv[1:]))
"""


def test_no_thread_of_the_wrapper_changes_how_it_ends(config: str) -> None:
    """Python would wait for this one, and aborts where one is in C++ when its end begins."""
    job = ["run", "--config", config, "--", "sh", "-c", "exit 5"]
    assert subprocess.run(python(STUCK, *job), timeout=command.PATIENCE, check=False).returncode == 5


RACE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from ss_pusher.batch.process import Waiting
with Waiting(["sh", "-c", "exit 7"], set()) as waiting, ThreadPoolExecutor() as pool:
    started = [each.result() for each in [pool.submit(waiting.start) for _ in range(4)]]
assert started == [started[0]] * 4
sys.exit(os.waitstatus_to_exitcode(os.waitpid(waiting.pid, 0)[1]))
"""


def test_a_job_is_told_to_start_once() -> None:
    """By whoever comes first: the one who watches, or the clock."""
    assert subprocess.run(python(RACE), check=False, timeout=command.PATIENCE).returncode == 7


# ---- PID 1 ----------------------------------------------------------------------------------------------------------

ORPHANS = """
import os, pathlib, subprocess, sys, time
subprocess.run(["sh", "-c", "(exit 0) & (sleep 0.1) & exec true"], check=True)
def zombies():
    stats = (path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/stat"))
    return [stat for stat in stats if stat.rpartition(")")[2].split()[0] == "Z"]
deadline = time.monotonic() + 10
while len(list(pathlib.Path("/proc").glob("[0-9]*"))) > 2 or zombies():
    if time.monotonic() > deadline:
        sys.exit(1)
    time.sleep(0.01)
sys.exit(os.getppid() + 40)
"""


def as_pid_1() -> list[str]:
    needs.root()
    return [needs.command("unshare"), "--pid", "--fork", "--mount-proc"]


def test_as_pid_1_it_reaps_orphans(config: str) -> None:
    result = command.run("run", "--config", config, "--", *python(ORPHANS), prefix=as_pid_1())
    assert result.returncode == 41, result.stderr


def test_as_pid_1_it_exits_though_the_keyboard_ended_the_job(config: str) -> None:
    """Nothing that PID 1 sends itself ends it: pid_namespaces(7)."""
    wrapper = [*as_pid_1(), command.EXECUTABLE, "run", "--config", config]
    assert in_terminal(b"\x03", *wrapper, "--", "sh", "-c", "echo ready; exec sleep 20")[0] == 130


def test_as_pid_1_it_passes_on_what_stops_a_container(config: str, tmp_path: Path) -> None:
    script = "trap 'exit 8' TERM; echo ready; while :; do sleep 0.05; done"
    with command.running(tmp_path, "run", "--config", config, "--", "sh", "-c", script, prefix=as_pid_1()) as job:
        job.wait_for(lambda: "ready" in job.said(), "the job began")
        (first,) = Path(f"/proc/{job.process.pid}/task/{job.process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert job.process.wait(command.PATIENCE) == 8


# ---- what cannot be pushed ------------------------------------------------------------------------------------------


def silent(peer: Peer) -> None:
    """A gateway that takes a request and never answers."""
    peer.wait_until_closed()


def test_a_gateway_that_hangs_holds_the_job_no_longer_than_the_deadline(tmp_path: Path) -> None:
    with scripted(silent) as gateway:
        patient = f"{{url: '{gateway.url}', timeout: 10m}}"
        config = command.written(tmp_path, f"{{shutdown_deadline: 2s, pushgateway: [{patient}]}}")
        began = time.monotonic()
        assert run(config, "sh", "-c", "exit 3").returncode == 3
        assert time.monotonic() - began > 1.5
    assert gateway.requests


def test_without_a_network_the_job_goes_on(config: str, host: object) -> None:
    assert hasattr(host, "command")
    result = command.run("run", "--config", config, "--", "sh", "-c", "echo alone; exit 5", prefix=host.command())
    assert (result.returncode, result.stdout) == (5, "alone\n")


def test_what_could_not_be_pushed_is_said_and_changes_nothing(tmp_path: Path) -> None:
    with scripted(reply(400, b"not like this")) as gateway:
        result = run(command.written(tmp_path, f"{{pushgateway: [{{url: '{gateway.url}'}}]}}"), "sh", "-c", "exit 3")
    assert result.returncode == 3
    assert "not like this" in result.stderr


# ---- wrong usage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("{pushgateway: [{url: 'http://127.0.0.1:1', jib: x}]}", (), "did you mean job?"),
        (
            "{metrics: {include: [ss_flow_nonsense]}, pushgateway: [{url: 'http://127.0.0.1:1'}]}",
            (),
            "ss_flow_nonsense",
        ),
        ("{}", (), "nothing to push to"),
        ("{pushgateway: [{url: 'http://127.0.0.1:1'}]}", ("--label", "a"), "write NAME=VALUE"),
        ("{pushgateway: [{url: 'http://127.0.0.1:1'}]}", ("--label", "a-b=c"), "a_b would be right"),
        ("{pushgateway: [{url: 'http://127.0.0.1:1'}]}", ("--label", "direction=c"), "group.by"),
        ("{pushgateway: [{url: 'http://127.0.0.1:1'}]}", ("--label", "job=c"), "name of the job"),
        ("{pushgateway: [{url: 'http://127.0.0.1:1'}]}", ("--interval", "often"), "no duration"),
        ("{limit: {max_series: 1}, pushgateway: [{url: 'http://127.0.0.1:1'}]}", (), "limit.max_series"),
    ],
)
def test_what_cannot_be_used_refuses_before_the_job_starts(
    tmp_path: Path, text: str, options: tuple[str, ...], words: str
) -> None:
    result = run(command.written(tmp_path, text), "touch", str(tmp_path / "started"), options=options)
    assert result.returncode == 2
    assert words in result.stderr
    assert not (tmp_path / "started").exists()


def test_without_a_command_there_is_nothing_to_run(config: str) -> None:
    result = command.run("run", "--config", config, "--")
    assert result.returncode == 2
    assert "no command is given" in result.stderr


def test_the_configuration_may_come_from_the_environment(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    config = settings(tmp_path, pushgateway.url)
    assert command.run("run", "--", "sh", "-c", "exit 3", SS_PUSHER_CONFIG=config, SS_PUSHER_JOB="x").returncode == 3
    assert value(pushgateway, "ss_pusher_job_exit_code", job="x") == 3
