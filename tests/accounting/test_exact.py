"""Against the real kernel: what is exported is what the clients and servers of the test know that they moved."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from ss_pusher import metrics
from tests.accounting.agent import Watch, increases, of_groups, of_host, watching
from tests.accounting.traffic import GENTLE, Books, End, Ending, Task, working
from tests.hosts import Host, loss
from tests.servers import Labels

PROCESSES: Final = 2
REFUSALS: Final = 100
FEW_GROUPS: Final = """
interval: 250ms
collect: {loopback: true}
group: {by: [direction, local_address, service_port]}
limit: {top: [{by: throughput, count: 3}], hold: 1, max_series: 100000, max_new_series_per_hour: 1000000}
metrics: {preset: all}
"""


def tasks(flows: int, **settings: Any) -> list[Task]:
    """The same kind of work for each process."""
    return [Task(flows // PROCESSES, seed, refusals=REFUSALS, **settings) for seed in range(PROCESSES)]


def account(host: Host, watch: Watch, *work: Task) -> Books:
    """Let the work be done, and compare: while some flows are still open, and when the last is gone."""
    # A connection of a listener that no tick saw yet has not the labels that are asked for here.
    with working(host, *work, when_listening=lambda: watch.ticks(1)) as workers:
        books = workers.books()
        watch.settle(books.all().flows - books.all().open + books.refused)
        rises = increases(watch.snapshots)
        check_amounts(rises, books)
        check_flows(rises, books, still_open=books.all().open)
        workers.release()
    watch.settle(books.all().flows + books.refused)
    rises = increases(watch.snapshots)
    check_amounts(rises, books)
    check_flows(rises, books, still_open=0)
    check_sizes(rises, books)
    return books


def check_amounts(rises: Mapping[Labels, float], books: Books) -> None:
    told, erased = books.told(), books.erased()
    sent, received = of_host(rises, "ss_tcp_sent_bytes_total"), of_host(rises, "ss_tcp_received_bytes_total")
    assert told.sent <= sent <= told.sent + erased.sent
    # The kernel counts 1 for a FIN. A flow that stays open may see one when the process ends.
    fins = books.all().fins + books.all().open
    assert told.received <= received <= told.received + erased.received + fins
    check_sums(rises)


def check_sums(rises: Mapping[Labels, float]) -> None:
    """The total of the host is the sum of its groups, those in the remainder included."""
    of_both = [counter for counter in metrics.COUNTERS if counter.host is not None]
    assert len(of_both) > 10
    for counter in of_both:
        total = of_host(rises, counter.host.name) if counter.host else 0
        expected = total if counter.per == 1 else pytest.approx(total)  # seconds are no integers
        assert of_groups(rises, counter.family.name) == expected, counter.family.name


def check_flows(rises: Mapping[Labels, float], books: Books, *, still_open: int) -> None:
    flows = books.all().flows
    assert of_host(rises, "ss_tcp_flows_opened_total") == flows + books.refused
    assert of_host(rises, "ss_tcp_flows_closed_total") == flows + books.refused - still_open
    assert of_host(rises, "ss_pusher_closed_flow_events_total") == flows + books.refused - still_open
    assert of_host(rises, "ss_tcp_connect_failures_total") == books.refused
    assert of_host(rises, "ss_tcp_flows_wiped_total") == books.erased().flows - books.erased().open
    assert of_host(rises, "ss_tcp_flows_lost_total") == 0
    assert of_host(rises, "ss_pusher_closed_flow_events_lost_total") == 0


def check_sizes(rises: Mapping[Labels, float], books: Books) -> None:
    told, erased = books.told(), books.erased()
    observed = of_host(rises, "ss_tcp_closed_flow_bytes_count")
    assert told.flows <= observed <= told.flows + erased.flows
    assert of_groups(rises, "ss_tcp_closed_flow_bytes_bucket", le="+Inf") == observed
    least, most = told.sent + told.received, books.all().sent + books.all().received
    assert least <= of_host(rises, "ss_tcp_closed_flow_bytes_sum") <= most + books.all().fins + books.all().open


def check_services(rises: Mapping[Labels, float], books: Books) -> None:
    """Each listening port has a way of its own to end flows: what is exact is told from what is not."""
    assert books.wiped
    for service, end in books.ends.items():
        port, direction = service.split("/")
        sent, received, wiped = (
            of_groups(rises, f"ss_flow_{name}_total", service_port=port, direction=direction)
            for name in ("sent_bytes", "received_bytes", "flows_wiped")
        )
        if service in books.wiped:
            assert sent < end.sent
            assert received < end.received
        else:
            assert wiped == 0
            assert sent == end.sent
            assert end.received <= received <= end.received + end.fins + end.open


def test_every_byte_of_20000_flows_of_every_kind_is_counted_once(host: Host) -> None:
    with watching(host) as watch:
        books = account(host, watch, *tasks(20_000))
    assert books.all().flows == 2 * 20_000
    check_services(increases(watch.snapshots), books)


def test_not_one_byte_goes_astray_while_groups_enter_and_leave(host: Host) -> None:
    with watching(host, FEW_GROUPS) as watch:
        books = account(host, watch, *tasks(6_000, endings=GENTLE, addresses=("127.0.0.1", "127.0.0.2", "::1")))
    rises = increases(watch.snapshots)
    assert of_host(rises, "ss_tcp_sent_bytes_total") == books.all().sent
    assert of_groups(rises, "ss_flow_sent_bytes_total", service_port="other") > 0
    assert watch.agent.telemetry.value("ss_pusher_groups_evicted_total") > 0


def retransmitted(host: Host) -> int:
    """What the kernel has counted in this host so far (RFC 4022, tcpRetransSegs)."""
    names, values = (line.split() for line in host.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Tcp:"))
    return int(dict(zip(names, values, strict=True))["RetransSegs"])


def test_payload_is_exact_where_packets_are_lost(host_pair: tuple[Host, Host]) -> None:
    left, right = host_pair
    task = Task(
        flows=40,
        seed=1,
        addresses=(right.ipv4, right.ipv6),
        endings=(Ending.ACTIVE, Ending.PASSIVE, Ending.HALF_CLOSED),
        threads=40,
        server=right.name,
    )
    before = [retransmitted(host) for host in host_pair]
    with (
        watching(left) as client_side,
        watching(right) as server_side,
        loss(left, 0.02),
        loss(right, 0.02),
        working(left, task) as workers,
    ):
        books = workers.books()
        workers.release()
        for watch in (client_side, server_side):
            watch.settle(books.all().flows // 2)
    for host, watch, direction, count in zip(host_pair, (client_side, server_side), ("out", "in"), before, strict=True):
        rises = increases(watch.snapshots)
        end = sum((end for key, end in books.ends.items() if key.endswith(direction)), End())
        assert of_host(rises, "ss_tcp_sent_bytes_total") == end.sent
        received = of_host(rises, "ss_tcp_received_bytes_total")
        assert end.received <= received <= end.received + end.fins + end.open
        assert of_host(rises, "ss_tcp_retransmitted_segments_total") == retransmitted(host) - count > 0
        assert of_host(rises, "ss_tcp_retransmitted_bytes_total") > 0
        check_sums(rises)


@pytest.mark.slow
def test_every_byte_of_200000_flows_is_counted_once(host: Host) -> None:
    with watching(host) as watch:
        books = account(host, watch, *tasks(200_000))
    check_services(increases(watch.snapshots), books)
