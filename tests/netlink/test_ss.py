"""Our reading of this kernel's sockets against that of ss (iproute2), in every field that it prints."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from ss_pusher.model import TcpState
from tests import needs
from tests.hosts import Host, loss
from tests.netlink.seen import Seen, look
from tests.netlink.traffic import every_kind
from tests.waiting import wait_for


class Shown(NamedTuple):
    """A field as ss shows it: in units of `unit` of ours, rounded down to `step` of ours, left out when `hidden`."""

    name: str
    unit: float = 1
    step: float = 0
    hidden: tuple[int, ...] = (0,)


MILLISECONDS: Final = 1000
SS: Final[dict[str, tuple[Shown, ...]]] = {
    # misc/ss.c, tcp_stats_print() and tcp_show_info(), as of iproute2 6.1
    "wscale": (Shown("snd_wscale"), Shown("rcv_wscale")),
    "rto": (Shown("rto", MILLISECONDS, hidden=(0, 3_000_000)),),
    "backoff": (Shown("backoff"),),
    "rtt": (Shown("rtt", MILLISECONDS), Shown("rttvar", MILLISECONDS)),
    "ato": (Shown("ato", MILLISECONDS),),
    "mss": (Shown("snd_mss"),),
    "pmtu": (Shown("pmtu"),),
    "rcvmss": (Shown("rcv_mss"),),
    "advmss": (Shown("advmss"),),
    "cwnd": (Shown("snd_cwnd"),),
    "ssthresh": (Shown("snd_ssthresh"),),
    "bytes_sent": (Shown("bytes_sent"),),
    "bytes_retrans": (Shown("bytes_retrans"),),
    "bytes_acked": (Shown("bytes_acked"),),
    "bytes_received": (Shown("bytes_received"),),
    "segs_out": (Shown("segs_out"),),
    "segs_in": (Shown("segs_in"),),
    "data_segs_out": (Shown("data_segs_out"),),
    "data_segs_in": (Shown("data_segs_in"),),
    "lastsnd": (Shown("last_data_sent"),),
    "lastrcv": (Shown("last_data_recv"),),
    "lastack": (Shown("last_ack_recv"),),
    "pacing_rate": (Shown("pacing_rate", 1 / 8),),
    "delivery_rate": (Shown("delivery_rate", 1 / 8),),
    "delivered": (Shown("delivered"),),
    "delivered_ce": (Shown("delivered_ce"),),
    "busy": (Shown("busy_time", MILLISECONDS, step=999),),
    "rwnd_limited": (Shown("rwnd_limited", MILLISECONDS, step=999),),
    "sndbuf_limited": (Shown("sndbuf_limited", MILLISECONDS, step=999),),
    "unacked": (Shown("unacked"),),
    "retrans": (Shown("retrans"), Shown("total_retrans")),
    "lost": (Shown("lost"),),
    "sacked": (Shown("sacked"),),
    "dsack_dups": (Shown("dsack_dups"),),
    "reordering": (Shown("reordering", hidden=(0, 3)),),
    "reord_seen": (Shown("reord_seen"),),
    "rcv_rtt": (Shown("rcv_rtt", MILLISECONDS),),
    "rcv_space": (Shown("rcv_space"),),
    "rcv_ssthresh": (Shown("rcv_ssthresh"),),
    "notsent": (Shown("notsent_bytes"),),
    "minrtt": (Shown("min_rtt", MILLISECONDS),),
    "rcv_ooopack": (Shown("rcv_ooopack"),),
    "snd_wnd": (Shown("snd_wnd"),),
}
OPTIONS: Final = {"ts": 1, "sack": 2, "ecn": 8, "ecnseen": 16, "fastopen": 32}
TIMERS: Final = {"on": 1, "keepalive": 2, "timewait": 3, "persist": 4}
NAMES: Final = {"ESTAB": "ESTABLISHED", "FIN-WAIT-1": "FIN_WAIT1", "FIN-WAIT-2": "FIN_WAIT2"}
OF_OTHERS: Final = {
    "send",
    "bbr",
    "cgroup",
    "v6only",
    "tcp-ulp-mptcp",
    "flags",
    "token",
    "seq",
    "sfseq",
    "ssnoff",
    "maplen",
}
"""What is no field of ours: computed by ss, or of another attribute."""
ALWAYS: Final = {"ssthresh", "wscale", "sacked", "rttvar"}
"""Left out by ss for reasons of its own as well."""


@dataclass(frozen=True)
class Line:
    """A socket as ss shows it."""

    state: TcpState
    queues: tuple[int, int]
    ends: tuple[str, str]
    words: tuple[str, ...]
    values: dict[str, str]

    @property
    def cookie(self) -> int:
        return int(self.values["sk"], 16)


def ss() -> list[Line]:
    output = subprocess.run([needs.command("ss"), "-taineHO"], check=True, capture_output=True, text=True).stdout
    return [_line(line) for line in output.splitlines()]


def _line(text: str) -> Line:
    text = re.sub(r"\b(send|pacing_rate|delivery_rate) ", r"\1:", text)
    state, received, sending, local, remote, *rest = text.split()
    pairs = [word.split(":", 1) for word in rest if ":" in word]
    return Line(
        TcpState[NAMES.get(state, state).replace("-", "_")],
        (int(received), int(sending)),
        (local, remote),
        tuple(word for word in rest if ":" not in word),
        dict(pairs),
    )


def assert_agrees_with_ss(seen: Seen) -> None:
    lines = {line.cookie: line for line in seen.theirs}
    assert set(lines) == set(seen.before) == set(seen.after)
    for cookie, line in lines.items():
        _assert_socket(seen, cookie, line)
        for key in line.values:
            assert key in SS or key in OF_OTHERS | {"sk", "ino", "uid", "timer"}, key
        for key, shown in SS.items():
            if key in line.values:
                _assert_values(seen, cookie, shown, line.values[key])
            elif key not in ALWAYS:
                hidden = [seen.agrees(cookie, shown[0].name, value, value) for value in shown[0].hidden]
                assert any(hidden), (key, line)


def _assert_socket(seen: Seen, cookie: int, line: Line) -> None:
    row = seen.before[cookie]
    assert line.state == row.state
    assert line.ends == (_end(row.local, row.local_port, line), _end(row.remote, row.remote_port, line))
    for name, size in zip(("receive_queue", "send_queue"), line.queues, strict=True):
        assert seen.agrees(cookie, name, size, size)
    assert (int(line.values["ino"]), int(line.values.get("uid", 0))) == (row.inode, row.uid)
    timer, _, retransmits = line.values.get("timer", "(,,0)").strip("()").split(",")
    assert seen.agrees(cookie, "timer", TIMERS.get(timer, 0), TIMERS.get(timer, 0))
    assert seen.agrees(cookie, "timer_retransmits", int(retransmits), int(retransmits))
    if row.info["state"] is not None:
        assert row.congestion.decode() in line.words
        assert bool(row.info["delivery_rate_app_limited"]) == ("app_limited" in line.words)
        for word, bit in OPTIONS.items():
            assert bool((row.info["options"] or 0) & bit) == (word in line.words)


def _end(address: IPv4Address | IPv6Address, port: int, line: Line) -> str:
    mapped = "::ffff:" if line.ends[0].startswith("[::ffff:") else ""
    shown = f"[{mapped}{address}]" if mapped or isinstance(address, IPv6Address) else f"{address}"
    takes_both = line.values.get("v6only") == "0" and int(address) == 0
    return f"{'*' if takes_both else shown}:{port or '*'}"


def _assert_values(seen: Seen, cookie: int, shown: tuple[Shown, ...], text: str) -> None:
    for field, number in zip(shown, re.findall(r"[\d.]+(?:e[+-]?\d+)?", text), strict=False):
        value = float(number) * field.unit
        assert seen.agrees(cookie, field.name, value * (1 - 1e-5), value * (1 + 1e-5) + field.step), (field, text)


@contextmanager
def lossy_flows(client: Host, server: Host) -> Iterator[None]:
    """Flows between two hosts that lost and reordered segments, and one whose receiver does not read any more."""
    with ExitStack() as opened:
        for address in (server.ipv4, server.ipv6):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET

            listen = partial(socket.create_server, (address, 7000), family=family)
            listener = opened.enter_context(server.call(listen))
            ours = opened.enter_context(client.call(partial(socket.create_connection, (address, 7000))))
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
            theirs = opened.enter_context(listener.accept()[0])
            with loss(server, 0.03):
                while _retransmitted(ours) < 2:
                    _pour(ours, theirs, 1_000_000)
            theirs.sendall(b"answer" * 1000)
            _stuff(ours)
        yield


def _retransmitted(sender: socket.socket) -> int:
    info = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[100:104], sys.byteorder)


def _pour(sender: socket.socket, receiver: socket.socket, size: int) -> None:
    sender.settimeout(0)
    receiver.settimeout(0)
    sent = received = 0

    def moved() -> bool:
        nonlocal sent, received
        with suppress(BlockingIOError):
            sent += sender.send(bytes(min(size - sent, 65536))) if sent < size else 0
        with suppress(BlockingIOError):
            received += len(receiver.recv(1 << 20))
        return received == size

    wait_for(moved, "all arrived", deadline=60)


def _stuff(sender: socket.socket) -> None:
    """Send until nothing more fits anywhere."""
    sender.settimeout(0.2)
    while True:
        try:
            sender.send(bytes(65536))
        except TimeoutError:
            return


def test_sockets_of_every_kind_are_read_as_by_ss(host: Host) -> None:
    def read() -> Seen:
        with every_kind():
            return look(ss)

    assert_agrees_with_ss(host.call(read))


def test_flows_that_lost_segments_are_read_as_by_ss(host_pair: tuple[Host, Host]) -> None:
    client, server = host_pair
    with lossy_flows(client, server):
        sender, receiver = client.call(lambda: look(ss)), server.call(lambda: look(ss))
    assert_agrees_with_ss(sender)
    assert_agrees_with_ss(receiver)
    said = {key for line in sender.theirs for key in line.values}
    assert {"retrans", "bytes_retrans", "ssthresh", "notsent", "busy"} <= said
    assert "rcv_ooopack" in {key for line in receiver.theirs for key in line.values}
