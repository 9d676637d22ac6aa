"""The block `with ss_pusher.job(…)` in programs that end in every way."""

import gzip
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests import command, servers
from tests.batch.jobs import GROUP, peer, python, sent, settings, value
from tests.send.scripted import reply, scripted
from tests.servers import labels

PATIENCE = 30.0
BEGIN = """
import os, signal, socket, sys, time
import ss_pusher
def send(count):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(bytes(count))
        time.sleep(0.3)
"""


def program(script: str, *arguments: object, config: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program that has a block of ours to its end."""
    environment = {"PATH": "/usr/bin:/bin"} | ({"SS_PUSHER_CONFIG": config} if config else {})
    return subprocess.run(
        python(BEGIN + script, *arguments),
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_to_import_the_package_costs_next_to_nothing() -> None:
    script = (
        "import sys; import ss_pusher; print('numpy' in sys.modules, 'requests' in sys.modules, ss_pusher.__version__)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split()[:2] == ["False", "False"]


def test_the_block_tells_its_flows_labels_and_metrics(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    script = """
from prometheus_client import Counter, Gauge, Histogram
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as before:
    before.sendall(bytes(100_000))
    with ss_pusher.job("nightly-etl", config=sys.argv[2], labels={"team": "a"}) as job:
        before.sendall(bytes(7))
        send(3000)
        job.labels["stage"] = "load"
        Counter("rows", "Rows.", registry=job.registry).inc(5)
        Gauge("lag_seconds", "Lag.", ["table"], registry=job.registry).labels("t").set(1.5)
        Histogram("batch_seconds", "Batches.", buckets=(0.1, 1), registry=job.registry).observe(0.5)
"""
    with peer() as ours:
        result = program(script, ours.port, settings(tmp_path, pushgateway.url))
        assert (result.returncode, result.stderr) == (0, "")
        assert sent(pushgateway, "nightly-etl", ours.port) == 3007
    common = {"job": "nightly-etl", "team": "a", "stage": "load"}
    assert value(pushgateway, "ss_pusher_job_success", **common) == 1
    assert value(pushgateway, "rows_total", **common) == 5
    assert value(pushgateway, "lag_seconds", table="t", **common) == 1.5
    buckets = {le: value(pushgateway, "batch_seconds_bucket", le=le, **common) for le in ("0.1", "1", "+Inf")}
    assert buckets == {"0.1": 0, "1": 1, "+Inf": 1}
    assert not [key for key in pushgateway.metrics() if dict(key)["__name__"].endswith("_created")]


def test_the_blocks_children_are_its_own(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    script = """
with ss_pusher.job("j"):
    if os.fork() == 0:
        send(1234)
        sys.exit(9)
    os.wait()
"""
    with peer() as ours:
        result = program(script, ours.port, config=settings(tmp_path, pushgateway.url))
        assert result.returncode == 0, result.stderr
        assert sent(pushgateway, "j", ours.port) == 1234
    assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == 0


FORKS = {
    "a fork that leaves the block": """
    child = os.fork()
    if child == 0:
        sys.exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
""",
    "a fork that ends at once": """
    child = os.fork()
    if child == 0:
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
""",
    "a fork that is terminated": """
    child = os.fork()
    if child == 0:
        time.sleep(60)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
""",
    "multiprocessing by fork": """
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == 0
""",
    "multiprocessing by spawn": """
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    assert process.exitcode == 0
""",
}


@pytest.mark.parametrize("how", FORKS)
def test_a_child_never_pushes_in_the_jobs_place(tmp_path: Path, how: str) -> None:
    script = f"""
import multiprocessing
if __name__ == "__main__":
    with ss_pusher.job("j"):
{textwrap.indent(FORKS[how], "    ")}
"""
    with scripted(reply(200)) as gateway:
        config = command.written(tmp_path, f"{{pushgateway: [{{url: '{gateway.url}'}}]}}")
        (tmp_path / "program.py").write_text(BEGIN + script)
        result = subprocess.run(
            [sys.executable, str(tmp_path / "program.py")],
            env={"PATH": "/usr/bin:/bin", "SS_PUSHER_CONFIG": config},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert (result.returncode, result.stderr) == (0, "")
    (push,) = gateway.requests
    assert b"ss_pusher_job_exit_code 0" in gzip.decompress(push.body)


@pytest.mark.parametrize(
    ("ends", "told", "exits"),
    [
        ("raise ValueError('the job fails')", 1, 1),
        ("sys.exit(5)", 5, 5),
        ("sys.exit()", 0, 0),
        ("sys.exit('words')", 1, 1),
        ("raise KeyboardInterrupt", 130, -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", 143, -signal.SIGTERM),
    ],
)
def test_every_end_is_told_and_stays_what_it_is(
    pushgateway: servers.Pushgateway, tmp_path: Path, ends: str, told: int, exits: int
) -> None:
    script = f"\nwith ss_pusher.job('j'):\n    send(10)\n    {ends}\n"
    with peer() as ours:
        result = program(script, ours.port, config=settings(tmp_path, pushgateway.url))
        assert result.returncode == exits, result.stderr
        assert sent(pushgateway, "j", ours.port) == 10
    assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == told
    assert value(pushgateway, "ss_pusher_job_success", job="j") == (told == 0)


def test_a_handler_of_the_programs_own_stays_in_place(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    script = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(6))
with ss_pusher.job("j"):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""
    assert program(script, 0, config=settings(tmp_path, pushgateway.url)).returncode == 6
    assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == 6


def test_after_the_block_sigterm_does_what_it_did_before(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    script = """
with ss_pusher.job("j"):
    pass
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
"""
    assert program(script, 0, config=settings(tmp_path, pushgateway.url)).returncode == 0


BROKEN = """
with ss_pusher.job("j", config=sys.argv[2] or None) as job:
    job.labels["no label"] = "x"
    class Broken:
        def collect(self):
            raise RuntimeError("broken")
        def describe(self):
            return []
    job.registry.register(Broken())
print("through")
"""


def test_nothing_that_goes_wrong_is_raised_into_the_job(tmp_path: Path) -> None:
    with scripted(reply(400, b"not like this")) as gateway:
        result = program(BROKEN, 0, command.written(tmp_path, f"{{pushgateway: [{{url: '{gateway.url}'}}]}}"))
    assert (result.returncode, result.stdout) == (0, "through\n")
    for words in ("is no label name", "registry cannot be read: broken", "not like this"):
        assert words in result.stderr
    assert b"ss_pusher_job_success 1" in gzip.decompress(gateway.requests[0].body)


@pytest.mark.parametrize(("text", "words"), [("{pushgateway: 3}", "is not watched"), ("", "no configuration")])
def test_without_a_usable_configuration_the_job_goes_on(tmp_path: Path, text: str, words: str) -> None:
    result = program(BROKEN, 0, command.written(tmp_path, text) if text else "")
    assert (result.returncode, result.stdout) == (0, "through\n")
    assert words in result.stderr


def test_a_push_at_an_interval_shows_the_block_while_it_goes_on(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    script = """
import urllib.request
with ss_pusher.job("j", interval="100ms"):
    deadline = time.monotonic() + 20
    while b"ss_pusher_job_start_time_seconds" not in urllib.request.urlopen(sys.argv[1] + "/metrics").read():
        assert time.monotonic() < deadline
        time.sleep(0.05)
"""
    result = program(script, pushgateway.url, config=settings(tmp_path, pushgateway.url))
    assert result.returncode == 0, result.stderr


def test_names_that_are_ours_are_not_pushed_twice(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    script = """
from prometheus_client import Counter, Gauge
with ss_pusher.job("j") as job:
    Counter("ss_pusher_job_success", "Not ours.", registry=job.registry)
    Gauge("mine", "The job's.", registry=job.registry).set(2)
"""
    program(script, 0, config=settings(tmp_path, pushgateway.url))
    assert pushgateway.metrics()[labels("mine", job="j", **GROUP)] == 2
    assert value(pushgateway, "ss_pusher_job_success", job="j") == 1
