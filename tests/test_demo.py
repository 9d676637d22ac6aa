"""The demonstration, as a user without privileges sees it on a terminal of 80 columns."""

import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ss_pusher import demo
from ss_pusher.errors import CollectError
from ss_pusher.netlink.dump import Dumper
from tests import hosts, needs
from tests.command import nobody, run

PATIENCE = 30.0
STAGES = ("collect", "attribute", "filter", "deltas", "group", "select", "credit", "snapshot", "encode")


@pytest.fixture(scope="module")
def done() -> Iterator[subprocess.CompletedProcess[str]]:
    """One run; on a host of its own, where nobody else talks, if the tests may have one."""
    with ExitStack() as stack:
        prefix = nobody()
        if prefix:
            host = stack.enter_context(hosts.single())
            # Unlike ip-netns(8) it leaves /sys as it is, where the cgroups are.
            prefix = [needs.command("nsenter"), f"--net=/run/netns/{host.name}", *prefix]
        began = time.monotonic()
        done = run("demo", prefix=prefix, COLUMNS="80")
        assert time.monotonic() - began < PATIENCE
        yield done


def numbers(text: str, heading: str) -> list[float]:
    """The numbers that stand behind a heading at the beginning of a line."""
    (line,) = re.findall(rf"^{heading}  +(.*)$", text, re.MULTILINE)
    return [float(number) for number in re.findall(r"[0-9.]+", line)]


def test_it_succeeds_without_privileges_and_says_nothing_on_stderr(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "cgroup2" not in line] == []  # not every host has one


def test_nothing_is_cut_at_80_columns(done: subprocess.CompletedProcess[str]) -> None:
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_its_own_traffic_is_among_the_flows_both_ways(done: subprocess.CompletedProcess[str]) -> None:
    title = "Groups of flows, as they arrived by remote write"
    table = done.stdout.partition(title)[2].partition("\n\n")[0]
    rows = [line.split() for line in table.splitlines()]
    busy = {(row[0], row[1], row[2]) for row in rows if "MiB" in row}
    ports = {port for way, address, port in busy if (way, address) == ("in", "127.0.0.1")}
    assert ports & {port for way, address, port in busy if (way, address) == ("out", "127.0.0.1")}


def test_what_arrived_is_the_same_by_both_ways(done: subprocess.CompletedProcess[str]) -> None:
    for what in ("requests", "flows", "groups", "series", "bytes per sample"):
        write, push = numbers(done.stdout, what)
        assert write > 0
        assert what == "bytes per sample" or write == push
    assert numbers(done.stdout, "requests")[0] == 5
    assert all(0 < size < 200 for size in numbers(done.stdout, "bytes per sample"))
    write_samples, push_samples = numbers(done.stdout, "samples")
    assert write_samples >= push_samples > numbers(done.stdout, "series")[0]


def test_the_host_says_how_much_was_moved(done: subprocess.CompletedProcess[str]) -> None:
    (sent,), (received,) = (numbers(done.stdout, f"ss_tcp_{way}_bytes_total") for way in ("sent", "received"))
    assert sent > 1_000_000
    assert received > 1_000_000
    assert numbers(done.stdout, "ss_tcp_flows_closed_total")[0] > 20


def test_every_stage_has_its_time(done: subprocess.CompletedProcess[str]) -> None:
    table = done.stdout.partition("Time of each stage")[2]
    assert re.findall(r"^(\w+) +[0-9.]+ ms$", table, re.MULTILINE) == list(STAGES)


def test_without_loopback_it_says_so_and_ends() -> None:
    needs.root()
    done = run("demo", prefix=[needs.command("unshare"), "--net"])
    assert done.returncode == 1
    assert "Network is unreachable" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("echo", [socket.socket.close, socket.socket.detach], ids=["ends", "keeps silent"])
def test_it_ends_though_its_own_traffic_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], echo: Callable[[socket.socket], object]
) -> None:
    monkeypatch.setattr(demo, "_echo", echo)
    monkeypatch.setattr(demo, "_TICKS", 2)
    ending = threading.Thread(target=demo.run, daemon=True)
    ending.start()
    ending.join(PATIENCE)
    assert not ending.is_alive()
    assert "All that arrived" in capsys.readouterr().out


def test_its_code_says_so_when_the_kernel_could_not_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CollectError("the kernel refused")

    monkeypatch.setattr(Dumper, "dump", refuse)
    monkeypatch.setattr(demo, "_TICKS", 2)
    assert not demo.run()
    assert "ss_flow_" not in capsys.readouterr().out
