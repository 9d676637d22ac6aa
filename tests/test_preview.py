"""What would be pushed, on a host of its own whose connections are known."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import hosts, needs
from tests.command import nobody, run, written
from tests.end_to_end.connections import Service, service

LOOPBACK = "external_labels: {job: edge}\ncollect: {loopback: true}\n"


@contextmanager
def talking(host: hosts.Host, address: str = "127.0.0.1") -> Iterator[Service]:
    """Two connections that have moved something, and stay."""
    with service(address, at=host, clients=host) as some:
        for _ in range(2):
            some.connect().ask(1000)
        yield some


def preview(
    host: hosts.Host, directory: Path, *arguments: str, config: str = LOOPBACK
) -> subprocess.CompletedProcess[str]:
    command = ("preview", "--config", written(directory, config), "--interval", "0.05", *arguments)
    return run(*command, prefix=host.command(), COLUMNS="80")


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Stdout of a command that succeeded."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(said(done))
    return parsed


def test_the_table_shows_groups_costs_and_times(host: hosts.Host, tmp_path: Path) -> None:
    with talking(host) as some:
        text = said(preview(host, tmp_path))
        port = str(some.port)
    rows = [line.split() for line in text.splitlines()]
    assert ["in", "127.0.0.1", port, "2"] in [row[:4] for row in rows]
    assert ["out", "127.0.0.1", port, "2"] in [row[:4] for row in rows]
    assert "of 10000 (limit.max_series)" in text
    assert "bytes a push, remote write 2.0" in text
    assert "Time of each stage of a tick, mean\ncollect " in text


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_table_is_whole_at_80_columns(host: hosts.Host, tmp_path: Path, address: str) -> None:
    with talking(host, address):
        text = said(preview(host, tmp_path))
    assert any(address in line.split() for line in text.splitlines())
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_series_that_it_counts_are_those_that_it_shows(host: hosts.Host, tmp_path: Path) -> None:
    with talking(host):
        table = said(preview(host, tmp_path))
        exposed = said(preview(host, tmp_path, "--format", "prometheus"))
        parsed = document(preview(host, tmp_path, "--format", "json"))
    samples = [line for line in exposed.splitlines() if not line.startswith("#")]
    unfolded = sum(len(histogram["bounds"]) + 3 for histogram in parsed["histograms"])
    assert len(samples) == len(parsed["series"]) + unfolded
    assert f"{len(samples)} of 10000" in table


def test_native_histograms_are_counted_as_the_series_that_they_are(host: hosts.Host, tmp_path: Path) -> None:
    native = """
remote_write: [{url: "http://127.0.0.1:1/", send_native_histograms: true}]
pushgateway: [{url: "http://127.0.0.1:1/", send_native_histograms: true}]
"""
    with talking(host):
        table = said(preview(host, tmp_path, config=LOOPBACK + native))
        parsed = document(preview(host, tmp_path, "--format", "json"))
    rows = [" ".join(line.split()) for line in table.splitlines()]
    assert f"series, native histograms {len(parsed['series']) + len(parsed['histograms'])}" in rows
    for way in ("remote write 1.0", "remote write 2.0", "Pushgateway"):
        assert f"bytes a push, {way}" in table
        assert f"bytes a push, {way}, native histograms" in table
    assert "…" not in table


def test_promtool_finds_nothing_wrong_with_the_exposition(host: hosts.Host, tmp_path: Path) -> None:
    promtool = needs.command("promtool")
    with talking(host):
        text = said(preview(host, tmp_path, "--format", "prometheus", config=LOOPBACK + "metrics: {preset: all}"))
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_document_has_every_series_with_its_labels(host: hosts.Host, tmp_path: Path) -> None:
    with talking(host) as some:
        parsed = document(preview(host, tmp_path, "--format", "json"))
        port = str(some.port)
    assert parsed["external_labels"] == {"job": "edge"}
    values = {(series["name"], *sorted(series["labels"].items())): series["value"] for series in parsed["series"]}
    out = [("direction", "out"), ("remote_address", "127.0.0.1"), ("service_port", port)]
    assert values["ss_flow_sockets", *out] == 2
    assert values["ss_tcp_sockets", ("family", "ipv4"), ("state", "established")] == 4
    (rtt,) = [histogram for histogram in parsed["histograms"] if histogram["name"] == "ss_tcp_rtt_seconds"]
    assert sum(rtt["counts"]) == 4 * 2  # connections, ticks
    assert len(rtt["counts"]) == len(rtt["bounds"]) + 1


def test_it_reads_as_often_as_it_is_told(host: hosts.Host, tmp_path: Path) -> None:
    with talking(host):
        parsed = document(preview(host, tmp_path, "--format", "json", "--ticks", "5"))
    (rtt,) = [histogram for histogram in parsed["histograms"] if histogram["name"] == "ss_tcp_rtt_seconds"]
    assert sum(rtt["counts"]) == 4 * 5


def test_without_flows_it_says_why_there_may_be_none(host: hosts.Host, tmp_path: Path) -> None:
    with talking(host):
        text = said(preview(host, tmp_path, config="{}"))
    assert text.startswith("No flows to show. Loopback is not read (collect.loopback).")
    assert said(preview(host, tmp_path)).startswith("No flows to show.\n")


def test_metrics_that_do_not_fit_the_table_are_pointed_to(host: hosts.Host, tmp_path: Path) -> None:
    config = LOOPBACK + "metrics: {preset: all, exclude: ['ss_flow_*']}"
    assert said(preview(host, tmp_path, config=config)).startswith("No ss_flow_ metrics are exported; --format prometh")


@pytest.mark.parametrize("form", ["table", "prometheus", "json"])
def test_it_needs_no_privileges_and_no_configuration(form: str) -> None:
    done = run("preview", "--format", form, "--ticks", "1", prefix=nobody())
    assert done.returncode == 0
    assert "ss_tcp_sockets" in done.stdout or form == "table"
    assert "Traceback" not in done.stderr
