"""Tables fit the terminal, and never show a piece of an address."""

import io

import pytest
from rich.console import Console

from ss_pusher import tables
from ss_pusher.model import Labels

BY = ("direction", "remote_address", "service_port", "unit")
VALUES = {
    "ss_flow_sockets": 3.0,
    "ss_flow_rtt_seconds": 0.0123456,
    "ss_flow_sent_bytes_total": 1024.0,
    "ss_flow_received_bytes_total": 3 * 1024.0**3,
    "ss_flow_retransmitted_segments_total": 7.0,
    "ss_flow_cwnd_segments": 10.0,
}
HEADINGS = ["flows", "rtt ms", "sent", "received", "retrans", "cwnd"]
LONG = "2001:db8:1111:2222:3333:4444:5555:6666"


def group(*values: str) -> Labels:
    return tuple((label, value) for label, value in zip(BY, values, strict=False) if value)


def shown(series: dict[Labels, dict[str, float]], width: int = 80, most: int = 0) -> list[str]:
    """The lines of the table on a terminal of this width."""
    output = io.StringIO()
    console = Console(file=output, width=width, markup=False, highlight=False, emoji=False)
    tables.show(console, "Groups", tables.groups(console, series, BY, most))
    lines = output.getvalue().splitlines()
    assert lines[:2] == ["", "Groups"]
    return [line.rstrip() for line in lines[2:]]


def test_a_group_is_a_row_of_labels_and_values() -> None:
    assert shown({group("out", "192.0.2.1", "443", "curl.service"): VALUES}) == [
        "     remote     service",
        "dir  address    port     unit          flows  rtt ms     sent  received  retrans",
        "out  192.0.2.1  443      curl.service      3  12.346  1.0 KiB   3.0 GiB        7",
    ]


def test_a_label_that_no_group_has_is_left_out() -> None:
    heading, *_ = shown({group("out", "192.0.2.1", "443"): VALUES, group("out", "other", "other", "other"): VALUES})[1:]
    assert heading.split() == ["dir", "address", "port", *" ".join(HEADINGS).split()]


def test_the_remainder_alone_is_named() -> None:
    assert shown({group("in", "other", "other", "other"): {}})[-1].split() == ["in", *["other"] * 3, *["-"] * 6]


def test_what_a_group_has_no_value_of_is_a_dash() -> None:
    values = {"ss_flow_sockets": 0.0, "ss_flow_sent_bytes_total": 5.0}
    assert shown({group("in", "192.0.2.1", "22"): values})[-1].split()[3:] == ["0", "-", "5", "B", "-", "-", "-"]


def test_the_most_bytes_come_first_and_no_more_rows_than_wanted() -> None:
    sent = {"192.0.2.1": 5.0, "192.0.2.2": 50.0, "192.0.2.3": 0.0, "192.0.2.4": 7.0}
    series = {group("out", address, "443"): {"ss_flow_sent_bytes_total": count} for address, count in sent.items()}
    assert [line.split()[1] for line in shown(series)[2:]] == [f"192.0.2.{last}" for last in (2, 4, 1, 3)]
    assert [line.split()[1] for line in shown(series, most=2)[2:]] == ["192.0.2.2", "192.0.2.4"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("unit", ["", "nginx.service", "a-unit-with-a-name-that-is-rather-long@1000.service"])
@pytest.mark.parametrize("address", ["192.0.2.1", LONG])
def test_values_make_way_for_labels_and_no_cell_is_cut(width: int, unit: str, address: str) -> None:
    lines = shown({group("out", address, "443", unit): VALUES}, width)
    row = lines[-1]
    assert row.startswith(f"out  {address}")
    assert unit in row
    assert "…" not in row
    assert "12.346" in row
    assert "3.0 GiB" in row  # bytes are what a table is for
    everything = shown({group("out", address, "443", unit): VALUES}, 500)[-1]
    assert (row == everything) == (len(everything) <= width)


def test_what_a_process_calls_itself_is_no_order_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console = tables.screen()
    series = {group("out", "192.0.2.1", "443", "[red]\x1b[31mx\n:smile:"): VALUES}
    tables.show(console, "Groups of [bold]flows", tables.groups(console, series, BY))
    printed = capsys.readouterr().out
    assert r"[red]\x1b[31mx\n:smile:" in printed
    assert "Groups of [bold]flows\n" in printed


def test_facts_stand_under_their_headings() -> None:
    output = io.StringIO()
    console = Console(file=output, width=80)
    tables.show(console, "Facts", tables.facts([("series", "12", "3"), ("bytes", "1", "20")], ("", "one", "the other")))
    assert output.getvalue().splitlines()[2:] == [
        "               the",
        "        one  other",
        "series   12      3",
        "bytes     1     20",
    ]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (2**60, "1024.0 PiB")],
)
def test_sizes_are_written_for_people(count: float, text: str) -> None:
    assert tables.size(count) == text


def test_durations_are_milliseconds() -> None:
    assert tables.duration(0.0012345) == "1.23 ms"
