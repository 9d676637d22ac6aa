"""The block `with ss_pusher.job(…)` in programs that end in every way."""

import gzip
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import requests

from tests import command, servers
from tests.batch.jobs import GROUP, SETTINGS, peer, python, sent, settings, value
from tests.send.scripted import Peer, reply, scripted
from tests.servers import labels

PATIENCE = 60.0
BEGIN = """
import mmap, os, signal, socket, sys, time
import ss_pusher
from ss_pusher.batch.sockets import JobSockets
looks = mmap.mmap(-1, 4)  # children see it too
learn = JobSockets._learn
def noted(*arguments):
    learned = learn(*arguments)
    looks[:] = (int.from_bytes(looks[:]) + 1).to_bytes(4)
    return learned
JobSockets._learn = noted
def send(count):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        connection.sendall(bytes(count))
        enough = int.from_bytes(looks[:]) + 2  # one may have begun before
        while int.from_bytes(looks[:]) < enough:
            time.sleep(0.01)
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
    for words in ("is no label name", "Broken in its registry cannot be read: RuntimeError('broken')", "not like this"):
        assert result.stderr.count(words) == 1
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
    while b"ss_pusher_job_start_time_seconds" not in urllib.request.urlopen(sys.argv[1] + "/metrics").read():
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


CLASHES = """
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
def collector(families):
    return type("Families", (), {"collect": lambda self: families()})()
def two_of_one():
    return [GaugeMetricFamily("twice", "x", value=number) for number in (1, 2)]
def raises():
    yield GaugeMetricFamily("before", "x", value=1)
    raise RuntimeError("broken")
with ss_pusher.job("j") as job:
    by_instance = Gauge("queue_length", "x", ["instance", "exported_job", "job"], registry=job.registry)
    by_instance.labels("a", "c", "d").set(1)
    by_instance.labels("b", "c", "d").set(2)
    job.registry.register(collector(two_of_one))
    Histogram("hist", "x", registry=job.registry).observe(1)
    job.registry.register(collector(lambda: [GaugeMetricFamily("hist_count", "x", value=7)]))
    job.registry.register(collector(raises))
    Gauge("after", "x", registry=job.registry).set(4)
"""


def test_of_a_registry_only_what_clashes_or_raises_is_left_out(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    result = program(CLASHES, 0, config=settings(tmp_path, pushgateway.url))
    assert result.returncode == 0
    assert value(pushgateway, "ss_pusher_job_success", job="j") == 1
    for number, instance in enumerate(("a", "b"), start=1):
        others = {"exported_instance": instance, "exported_job": "c", "exported_exported_job": "d"}
        assert value(pushgateway, "queue_length", job="j", **others) == number
    found = {name: value(pushgateway, name, job="j") for name in ("twice", "hist_count", "before", "after")}
    assert found == {"twice": 1, "hist_count": 1, "before": 1, "after": 4}
    for name in ("queue_length", "metric twice", "metric hist_count", "Families in its registry"):
        assert result.stderr.count(name) == 1
    assert len(result.stderr.splitlines()) == 4


@pytest.mark.parametrize("native", [False, True])
def test_what_a_gateway_refuses_of_a_registry_takes_nothing_else_with_it(
    pushgateway: servers.Pushgateway,
    tmp_path: Path,
    native: bool,  # noqa: FBT001 - of the test
) -> None:
    """As text, and as protobuf."""
    gateway = f"{{url: '{pushgateway.url}', grouping_key: {{instance: here}}, send_native_histograms: {native}}}"
    config = command.written(tmp_path, f"{{collect: {{loopback: true}}, pushgateway: [{gateway}]}}")
    script = """
from prometheus_client import Gauge
with ss_pusher.job("j") as job:
    Gauge("rows", "Another type in another group.", registry=job.registry).set(2)
    send(1234)
"""
    other = f"{pushgateway.url}/metrics/job/other"
    requests.put(other, data="# TYPE rows histogram\nrows_count 1\nrows_sum 1\n", timeout=10).raise_for_status()
    with peer() as ours:
        result = program(script, ours.port, config=config)
        assert sent(pushgateway, "j", ours.port) == 1234
    assert value(pushgateway, "ss_pusher_job_success", job="j") == 1
    (line,) = result.stderr.splitlines()
    assert "refused the metrics of the job's registry" in line
    assert "rows" in line


HANGS = """
import threading
from prometheus_client import Gauge
class Hangs:
    def describe(self):
        return []
    def collect(self):
        threading.Event().wait()
with ss_pusher.job("j", interval=0.05) as job:
    Gauge("rows", "Lost with it.", registry=job.registry).set(2)
    job.registry.register(Hangs())
    send(1234)
print("through")
"""


def test_a_collector_that_never_answers_takes_only_the_registry_with_it(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    config = command.written(tmp_path, SETTINGS.format(pushgateway.url).replace("{", "{shutdown_deadline: 8s, ", 1))
    with peer() as ours:
        result = program(HANGS, ours.port, config=config)
        assert (result.returncode, result.stdout) == (0, "through\n")
        assert sent(pushgateway, "j", ours.port) == 1234
    assert value(pushgateway, "ss_pusher_job_success", job="j") == 1
    (line,) = result.stderr.splitlines()
    assert "registry did not answer in time" in line


def test_names_of_the_preset_are_not_taken_from_the_registry(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    text = SETTINGS.format(pushgateway.url).replace("{", "{metrics: {preset: ss_exporter}, ", 1)
    script = """
from prometheus_client import Counter, Gauge
with ss_pusher.job("j") as job:
    Gauge("tcp_data_segs_out", "Of another type.", registry=job.registry).set(2)
    Gauge("tcp_rtt", "Of the same type.", registry=job.registry).set(-1)
    Gauge("ss_exporter_rows", "The job's.", registry=job.registry).set(3)
    send(1234)
"""
    with peer() as ours:
        result = program(script, ours.port, config=command.written(tmp_path, text))
    assert (result.returncode, result.stderr) == (0, "")
    assert value(pushgateway, "ss_exporter_rows", job="j") == 3
    assert value(pushgateway, "tcp_rtt", job="j") is None
    # As prometheus_client reads a counter's name.
    assert any(dict(key)["__name__"] == "tcp_data_segs_out_total" for key in pushgateway.metrics())


LABELS = {
    "one": ('job.labels["no label"] = "x"', "is no label name"),
    "None": ("job.labels = None", ""),
    "a number": ("job.labels = 5", "its labels are no mapping"),
}


@pytest.mark.parametrize("how", LABELS)
def test_labels_that_cannot_be_used_are_all_that_is_lost(
    pushgateway: servers.Pushgateway, tmp_path: Path, how: str
) -> None:
    spoil, words = LABELS[how]
    script = f"""
with ss_pusher.job("j", labels={{5: "no name", "version": 3, "none": None}}, run_id="7") as job:
    {spoil}
"""
    result = program(script, 0, config=settings(tmp_path, pushgateway.url))
    kept = {"version": "3", "run_id": "7"} if how == "one" else {}
    assert value(pushgateway, "ss_pusher_job_success", job="j", **kept) == 1
    lines = [line for line in result.stderr.splitlines() if "label '5'" not in line]
    assert [words in line for line in lines] == [True] * bool(words)


@pytest.mark.parametrize(
    ("given", "called"), [("''", "python"), ("None", "python"), ("5", "5"), (r"'\udcff'", "\ufffd")]
)
def test_every_name_is_pushed_under(pushgateway: servers.Pushgateway, tmp_path: Path, given: str, called: str) -> None:
    result = program(f"\nwith ss_pusher.job({given}):\n    pass\n", 0, config=settings(tmp_path, pushgateway.url))
    assert (result.returncode, result.stderr) == (0, "")
    assert value(pushgateway, "ss_pusher_job_success", job=called) == 1


def test_a_job_without_a_name_has_the_programs(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    (tmp_path / "etl.py").write_text("import ss_pusher\nwith ss_pusher.job(''):\n    pass\n")
    environment = {"PATH": "/usr/bin:/bin", "SS_PUSHER_CONFIG": settings(tmp_path, pushgateway.url)}
    subprocess.run([sys.executable, str(tmp_path / "etl.py")], env=environment, check=True, timeout=PATIENCE)
    assert value(pushgateway, "ss_pusher_job_success", job="etl.py") == 1


@pytest.mark.parametrize("interval", ["'5'", "'soon'", "0", "-1", "float('nan')", "[]"])
def test_a_wrong_interval_loses_no_more_than_the_pushes_meanwhile(
    pushgateway: servers.Pushgateway, tmp_path: Path, interval: str
) -> None:
    script = f"\nwith ss_pusher.job('j', interval={interval}):\n    pass\n"
    result = program(script, 0, config=settings(tmp_path, pushgateway.url))
    assert value(pushgateway, "ss_pusher_job_success", job="j") == 1
    assert result.stderr.count("nothing is pushed before its end: interval") == 1


@pytest.mark.parametrize("keep", [True, False])
def test_connections_of_the_pushes_are_nobodys_flows(tmp_path: Path, keep: bool) -> None:  # noqa: FBT001 - of the test
    """Not those of this block, nor of the one before, nor of the one inside."""
    script = """
with ss_pusher.job("before"):
    pass
with ss_pusher.job("outer", interval=0.05):
    with ss_pusher.job("inner"):
        send(1234)
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
"""

    def last(to: Peer) -> bool | None:
        (tmp_path / "go").touch()
        return reply(200, keep=keep)(to)

    with peer() as ours, scripted(*[reply(200, keep=keep)] * 4, last) as gateway:
        result = program(script, ours.port, tmp_path / "go", config=settings(tmp_path, gateway.url))
        assert (result.returncode, result.stderr) == (0, "")
        told = b"".join(gzip.decompress(push.body) for push in gateway.requests)
        assert f'service_port="{ours.port}"'.encode() in told
        assert f'service_port="{gateway.port}"'.encode() not in told
