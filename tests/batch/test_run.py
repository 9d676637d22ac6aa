"""How a job ended, and what becomes of that on the servers."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ss_pusher.app.job_config import for_job
from ss_pusher.config import Config
from tests import command, hosts, servers
from tests.batch.jobs import (
    GROUP,
    OUTCOME,
    SETTINGS,
    WAITS,
    peer,
    python,
    run,
    sent,
    settings,
    talk,
    value,
)
from tests.end_to_end.relay import relay
from tests.servers import labels
from tests.waiting import wait_for


def test_how_the_job_ended_is_told(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    script = (
        "kept = bytearray(b'x' * (80 << 20)); import time\nwhile time.process_time() < 0.3: pass\nraise SystemExit(3)"
    )
    began = time.time()
    run(settings(tmp_path, pushgateway.url), *python(script), options=["--job", "j"])
    over = time.time()
    told = {name: value(pushgateway, f"ss_pusher_job_{name}", job="j") or 0 for name in OUTCOME}
    assert began <= told["start_time_seconds"] <= told["end_time_seconds"] <= over
    assert told["duration_seconds"] == pytest.approx(told["end_time_seconds"] - told["start_time_seconds"], abs=0.01)
    assert (told["exit_code"], told["success"]) == (3, 0)
    assert 80 << 20 < told["max_resident_memory_bytes"] < 300 << 20
    assert 0.3 <= told["cpu_seconds"] < over - began
    assert value(pushgateway, "ss_pusher_job_last_success_time_seconds", job="j") is None


def test_the_memory_is_the_jobs_and_not_the_wrappers(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    run(settings(tmp_path, pushgateway.url), "true", options=["--job", "j"])
    assert 0 < (value(pushgateway, "ss_pusher_job_max_resident_memory_bytes", job="j") or 0) < 24 << 20


def test_the_name_is_the_commands_unless_it_is_given(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    run(settings(tmp_path, pushgateway.url), "/bin/true")
    assert value(pushgateway, "ss_pusher_job_success", job="true") == 1


@pytest.mark.parametrize("name", ["a/b", "with space ü", "1+1", ".."])
def test_a_job_may_be_called_anything(pushgateway: servers.Pushgateway, tmp_path: Path, name: str) -> None:
    run(settings(tmp_path, pushgateway.url), "true", options=["--job", name])
    assert value(pushgateway, "ss_pusher_job_success", job=name) == 1


@pytest.mark.parametrize("name", ["", "caf\udce9"])
def test_a_job_without_a_name_or_with_one_that_is_no_text_is_told_too(
    pushgateway: servers.Pushgateway, tmp_path: Path, name: str
) -> None:
    options = ["--label", "stage=\udcff", "--label", "branch="]
    result = run(settings(tmp_path, pushgateway.url), name, options=options)
    shown = name.replace("\udce9", "\ufffd") or "job"
    assert result.returncode == 127
    assert value(pushgateway, "ss_pusher_job_exit_code", job=shown, stage="\ufffd") == 127


def test_an_empty_label_is_no_label_and_the_job_runs(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    result = run(
        settings(tmp_path, pushgateway.url), "sh", "-c", "exit 3", options=["--job", "j", "--label", "branch="]
    )
    assert result.returncode == 3
    assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == 3
    # A Pushgateway takes an empty one for none, but remote write forbids it.
    labels_of_all = for_job(Config(), "j", {"branch": "", "stage": "x"}).external_labels
    assert labels_of_all["stage"] == "x"
    assert "branch" not in labels_of_all


def test_labels_and_the_run_id_stand_on_every_series(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    options = ["--job", "j", "--label", "team=a=b c", "--label", "stage=ü", "--run-id", "77"]
    with peer() as ours:
        run(settings(tmp_path, pushgateway.url), *talk(ours.port, 5), options=options)
    wanted = set(labels(team="a=b c", stage="ü", run_id="77", job="j", **GROUP))
    ours_only = [key for key in pushgateway.metrics() if dict(key)["__name__"].startswith("ss_")]
    assert ours_only
    assert all(wanted <= set(key) for key in ours_only)
    (group,) = pushgateway.groups()
    assert group["labels"] == {"job": "j", **GROUP}


def test_a_failure_leaves_the_last_success_and_a_success_leaves_nothing_else(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    config = settings(tmp_path, pushgateway.url)
    with peer() as ours:
        run(config, *talk(ours.port, 5), options=["--job", "j"])
        port = ours.port
    succeeded = value(pushgateway, "ss_pusher_job_last_success_time_seconds", job="j")
    assert succeeded == value(pushgateway, "ss_pusher_job_end_time_seconds", job="j")

    run(config, "false", options=["--job", "j"])
    assert value(pushgateway, "ss_pusher_job_success", job="j") == 0
    assert value(pushgateway, "ss_pusher_job_last_success_time_seconds", job="j") == succeeded

    run(config, "true", options=["--job", "j"])
    assert (value(pushgateway, "ss_pusher_job_last_success_time_seconds", job="j") or 0) > (succeeded or 0)
    assert sent(pushgateway, "j", port) is None


def test_several_gateways_get_the_same(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with servers.pushgateway(tmp_path / "second") as second:
        sections = [f"{{url: '{each.url}', grouping_key: {GROUP}}}" for each in (pushgateway, second)]
        text = f"{{pushgateway: [{', '.join(sections)}]}}"
        run(command.written(tmp_path, text), "sh", "-c", "exit 4", options=["--job", "j"])
        assert [value(each, "ss_pusher_job_exit_code", job="j") for each in (pushgateway, second)] == [4, 4]


@pytest.mark.parametrize("preset", ["all", "ss_exporter"])
def test_an_agent_and_a_job_share_a_gateway_and_no_name_has_two_types(
    pushgateway: servers.Pushgateway, tmp_path: Path, preset: str
) -> None:
    text = SETTINGS.format(pushgateway.url).replace("{", f"{{metrics: {{preset: {preset}}}, ", 1)
    config = command.written(tmp_path, text)
    with peer() as ours:
        assert command.run("once", "--config", config).returncode == 0
        result = run(config, *talk(ours.port, 5), options=["--job", "j"])
        assert (result.returncode, result.stderr) == (0, "")
        assert command.run("once", "--config", config).returncode == 0
    assert {group["labels"]["job"] for group in pushgateway.groups()} == {"j", "ss_pusher"}
    assert all(group["last_push_successful"] for group in pushgateway.groups())


def test_it_pushes_at_an_interval_and_then_the_end(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    config = settings(tmp_path, pushgateway.url)
    with peer() as ours:
        job = python(WAITS, ours.port, tmp_path / "go")
        options = ["--job", "j", "--interval", "200ms"]
        with command.running(tmp_path, "run", "--config", config, *options, "--", *job) as wrapper:
            wrapper.wait_for(lambda: sent(pushgateway, "j", ours.port) == 1000, "a push meanwhile")
            assert value(pushgateway, "ss_pusher_job_start_time_seconds", job="j")
            assert value(pushgateway, "ss_pusher_job_exit_code", job="j") is None
            (tmp_path / "go").touch()
            assert wrapper.process.wait(command.PATIENCE) == 0
        assert sent(pushgateway, "j", ours.port) == 1500
        assert value(pushgateway, "ss_pusher_job_exit_code", job="j") == 0


MOVES_ON = """
import pathlib, socket, sys, time
first, *later = (socket.create_connection(("127.0.0.1", int(port))) for port in sys.argv[2:])
first.sendall(bytes(5000))
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
first.close()
for connection in later:
    connection.sendall(bytes(100_000))
time.sleep(0.1)
"""


def test_what_the_job_did_long_ago_is_told_in_the_end(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    """A group that ranks low now would leave an agent's selection."""
    limit = "limit: {top: [{by: throughput, count: 1}], hold: 0}, "
    config = command.written(tmp_path, SETTINGS.format(pushgateway.url).replace("{", "{" + limit, 1))
    with peer() as first, peer() as second, peer() as third:
        job = python(MOVES_ON, tmp_path / "go", first.port, second.port, third.port)
        options = ["--job", "j", "--interval", "100ms"]
        with command.running(tmp_path, "run", "--config", config, *options, "--", *job) as wrapper:
            wrapper.wait_for(lambda: sent(pushgateway, "j", first.port), "it ranks first")
            (tmp_path / "go").touch()
            assert wrapper.process.wait(command.PATIENCE) == 0
        assert sent(pushgateway, "j", first.port) == 5000


def test_a_summary_says_whom_the_job_talked_to(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    with peer() as ours:
        result = run(
            settings(tmp_path, pushgateway.url), *talk(ours.port, 2048), options=["--summary", "--job", "nightly"]
        )
        port = ours.port
    title, heading, line, *_ = result.stderr.splitlines()  # on this host others may come and go, which is said last
    assert title.startswith("nightly: exit code 0 after ")
    assert heading.split() == ["peer", "sent", "received", "worst", "rtt", "retransmits"]
    words = line.split()
    assert words[0] == f"127.0.0.1:{port}"
    assert words[-7:-3] in (["2.0", "KiB", "0", "B"], ["2.0", "KiB", "1", "B"])  # 1: the peer's FIN came
    assert (float(words[-3]) > 0, *words[-2:]) == (True, "ms", "0")
    assert result.stdout == ""


# ---- remote write, and Prometheus -----------------------------------------------------------------------------------


def test_remote_write_gets_flows_that_begin_and_end_and_an_outcome_that_stays(
    prometheus: servers.Prometheus, tmp_path: Path
) -> None:
    text = f"""
        collect: {{loopback: true}}
        external_labels: {{instance: here}}
        remote_write: [{{url: '{prometheus.write_url}'}}]
        """
    with peer() as ours:
        run(command.written(tmp_path, text), *talk(ours.port, 3000), options=["--job", "j"])
        port = str(ours.port)
    (points,) = prometheus.samples(f'ss_flow_sent_bytes_total{{service_port="{port}"}}').values()
    assert [value for _, value in points] == [0, 3000]
    assert prometheus.query("ss_flow_sent_bytes_total") == {}
    assert prometheus.query("ss_pusher_job_success") == {labels("ss_pusher_job_success", job="j", **GROUP): 1}


class Scraped(NamedTuple):
    """A Pushgateway, and a Prometheus that scrapes it and honours its labels."""

    pushgateway: servers.Pushgateway
    prometheus: servers.Prometheus


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Started once: it takes Prometheus 5 s to look at its targets."""
    directory = tmp_path_factory.mktemp("scraped")
    with servers.pushgateway(directory) as pushgateway:
        target = pushgateway.url.removeprefix("http://")
        with servers.prometheus(directory, scrape=[target], scrape_interval="100ms") as prometheus:
            wait_for(lambda: prometheus.query("up"), "the first scrape")
            yield Scraped(pushgateway, prometheus)


def test_prometheus_scrapes_the_job_as_it_was_pushed(scraped: Scraped, tmp_path: Path) -> None:
    with peer() as ours:
        config = settings(tmp_path, scraped.pushgateway.url)
        run(config, *talk(ours.port, 3000), options=["--job", "scraped", "--label", "team=a"])
    pushed = {
        key: value
        for key, value in scraped.pushgateway.metrics().items()
        if ("job", "scraped") in key and dict(key)["__name__"].startswith("ss_")
    }
    assert pushed
    wait_for(lambda: scraped.prometheus.query('{__name__=~"ss_.*", job="scraped"}') == pushed, "the same is scraped")


def test_the_group_may_be_deleted_in_the_end_once_it_was_scraped(scraped: Scraped, tmp_path: Path) -> None:
    text = (
        f"{{pushgateway: [{{url: '{scraped.pushgateway.url}', grouping_key: {GROUP}, on_exit: delete, linger: 2s}}]}}"
    )
    run(command.written(tmp_path, text), "true", options=["--job", "deleted"])
    assert "deleted" not in {group["labels"]["job"] for group in scraped.pushgateway.groups()}
    assert scraped.prometheus.samples('ss_pusher_job_success{job="deleted"}') != {}


def test_what_could_not_be_sent_is_sent_by_the_next_run(tmp_path: Path) -> None:
    port = servers.free_port()
    text = f"""
        shutdown_deadline: 20s
        spool: {{directory: '{tmp_path / "spool"}'}}
        remote_write:
          - name: far
            url: 'http://127.0.0.1:{port}/api/v1/write'
            queue_config: {{min_backoff: 1m, max_backoff: 1m}}
        """
    config = command.written(tmp_path, text)
    assert run(config, "sh", "-c", "exit 3", options=["--job", "first"]).returncode == 3
    with servers.prometheus(tmp_path) as prometheus:
        address = prometheus.url.removeprefix("http://")
        later = command.written(tmp_path, text.replace(f"127.0.0.1:{port}", address))
        assert run(later, "true", options=["--job", "second"]).returncode == 0
        told = {dict(key)["job"]: value for key, value in prometheus.query("ss_pusher_job_exit_code").items()}
    assert told == {"first": 3, "second": 0}


def test_a_job_behind_a_nat_is_told(nat: hosts.Nat, pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    with relay(nat.server, pushgateway.url) as gateway, peer(nat.server) as ours:
        config = command.written(tmp_path, SETTINGS.format(gateway))
        job = talk(ours.port, 4000, address=nat.server.ipv4)
        result = command.run("run", "--config", config, "--job", "j", "--", *job, prefix=nat.client.command())
        assert result.returncode == 0, result.stderr
        assert sent(pushgateway, "j", ours.port) == 4000


def test_the_last_success_outlives_a_restart_of_the_gateway(tmp_path: Path) -> None:
    with servers.pushgateway(tmp_path) as gateway:
        run(settings(tmp_path, gateway.url), "true", options=["--job", "j"])
        succeeded = value(gateway, "ss_pusher_job_last_success_time_seconds", job="j")
        assert succeeded
    with servers.pushgateway(tmp_path) as gateway:
        run(settings(tmp_path, gateway.url), "false", options=["--job", "j"])
        assert value(gateway, "ss_pusher_job_last_success_time_seconds", job="j") == succeeded
        assert value(gateway, "ss_pusher_job_success", job="j") == 0
