"""The servers that other tests rely on are real, ready, isolated and stopped."""

import os
import time
from pathlib import Path

import pytest
import requests

from tests import needs, servers
from tests.servers import labels
from tests.waiting import wait_for

EXPOSITION = '# TYPE jobs_done_total counter\njobs_done_total{queue="a b"} 7\n'


def test_prometheus_takes_remote_write(prometheus: servers.Prometheus) -> None:
    answer = requests.post(prometheus.write_url, data=b"no snappy", timeout=10)
    assert answer.status_code == requests.codes.bad_request


def test_a_prometheus_starts_empty(prometheus: servers.Prometheus) -> None:
    assert prometheus.query("vector(3)") == {labels(): 3.0}
    assert prometheus.query("up") == {}


def test_what_is_pushed_to_the_pushgateway_is_read_back_and_scraped_with_its_own_labels(
    pushgateway: servers.Pushgateway, tmp_path: Path
) -> None:
    group = f"{pushgateway.url}/metrics/job/batch/instance/far"
    requests.put(group, data=EXPOSITION, timeout=10).raise_for_status()
    pushed = labels("jobs_done_total", job="batch", instance="far", queue="a b")

    assert [group["labels"] for group in pushgateway.groups()] == [{"job": "batch", "instance": "far"}]
    assert pushgateway.metrics()[pushed] == 7
    target = pushgateway.url.removeprefix("http://")
    with servers.prometheus(tmp_path, scrape=[target]) as prometheus:
        scraped = wait_for(lambda: prometheus.query("jobs_done_total"), "a scrape")
        assert scraped == {pushed: 7}
        assert {value for _, value in prometheus.samples("jobs_done_total")[pushed]} == {7}
        assert prometheus.metadata()["jobs_done_total"][0]["type"] == "counter"


def test_victoria_metrics_answers_with_what_was_just_written(victoria_metrics: servers.VictoriaMetrics) -> None:
    now = time.time()
    lines = "".join(f"moisture {value} {round((now - age) * 1000)}\n" for value, age in [(4, 20), (6, 10), (8, 0)])
    requests.post(f"{victoria_metrics.url}/api/v1/import/prometheus", data=lines, timeout=10).raise_for_status()

    moisture = labels("moisture")
    assert victoria_metrics.query("moisture") == {moisture: 8}
    points = victoria_metrics.query_range("moisture", now - 15, now - 5, 10)[moisture]
    assert [value for _, value in points] == [4, 6]
    assert [value for _, value in victoria_metrics.samples("moisture", "1m")[moisture]] == [4, 6, 8]


def test_a_server_is_gone_after_its_block(tmp_path: Path) -> None:
    with servers.pushgateway(tmp_path) as server:
        pid = server.process.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(servers.ServerError, match="unknown long flag '--no-such-flag'"),
        servers.prometheus(tmp_path, flags=["--no-such-flag"]),
    ):
        pass


def test_a_missing_server_skips_a_test_but_fails_it_on_a_ci_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed"):
        needs.command("no-such-server")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-server is not installed"):
        needs.command("no-such-server")
