"""Our reading of this kernel's sockets against those of pyroute2, in the fields that it reads right."""

import argparse
import socket
from importlib import import_module
from typing import Any, Final

from ss_pusher.netlink.tcp_info import FIELDS
from tests.hosts import Host
from tests.netlink.seen import Seen, look
from tests.netlink.traffic import every_kind

WRONG_IN_PYROUTE2: Final = {"rcv_wscale"}  # it gives snd_wscale again
SS2_MILLISECONDS: Final = {"rto", "ato", "rtt", "rttvar", "rcv_rtt"}


def _agrees(seen: Seen, cookie: int, name: str, value: float) -> bool:
    if seen.before[cookie].info[name] is not None:
        return seen.agrees(cookie, name, value, value)
    return bool(FIELDS[name].witness) or value == FIELDS[name].no_value


def test_sockets_are_read_as_by_pyroute2(host: Host) -> None:
    diag_module = import_module("pyroute2.netlink.diag")  # here, because it costs half a second

    def read() -> list[Any]:
        with diag_module.DiagSocket() as diag:
            diag.bind()
            return [
                one
                for family in (socket.AF_INET, socket.AF_INET6)
                for one in diag.get_sock_stats(family=family, extensions=0b1010)
            ]

    def during() -> Seen:
        with every_kind():
            return look(read)

    seen = host.call(during)
    assert {one["idiag_cookie"] for one in seen.theirs} == set(seen.before)
    for one in seen.theirs:
        row, attributes = seen.before[one["idiag_cookie"]], dict(one["attrs"])
        assert (one["idiag_state"], one["idiag_sport"], one["idiag_dport"]) == (
            row.state,
            row.local_port,
            row.remote_port,
        )
        assert (one["idiag_if"], one["idiag_uid"], one["idiag_inode"]) == (row.interface, row.uid, row.inode)
        ends = (one["idiag_src"].removeprefix("::ffff:"), one["idiag_dst"].removeprefix("::ffff:"))
        assert ends == (str(row.local), str(row.remote))
        assert attributes.get("INET_DIAG_CGROUP_ID", 0) == row.cgroup
        assert attributes.get("INET_DIAG_CONG", "").encode() == row.congestion
        assert (row.info["state"] is None) == ("INET_DIAG_INFO" not in attributes)
        for key, value in attributes.get("INET_DIAG_INFO", {}).items():
            name = key.removeprefix("tcpi_")
            assert name in WRONG_IN_PYROUTE2 or _agrees(seen, row.cookie, name, value), (name, value)


def test_sockets_are_read_as_by_ss2(host: Host) -> None:
    ss2 = import_module("pyroute2.netlink.diag.ss2")

    def read() -> list[Any]:
        with ss2.DiagSocket() as diag:
            diag.bind()
            flows: list[Any] = ss2.TCP(ss2.SS_CONN)(diag, argparse.Namespace(resolve=False), None)["TCP"]["flows"]
            return flows

    def during() -> Seen:
        with every_kind():
            return look(read)

    seen = host.call(during)
    ours = {(row.local_port, row.remote_port): row for row in seen.before.values()}
    assert len(seen.theirs) > 10
    for flow in seen.theirs:
        row = ours[flow["src_port"], flow["dst_port"]]
        assert (flow["src"], flow["dst"], flow["inode"]) == (str(row.local), str(row.remote), row.inode)
        assert flow.get("cong_algo", "").encode() == row.congestion
        for name in set(flow.get("tcp_info", {})) & set(FIELDS) - WRONG_IN_PYROUTE2 - {"state"}:
            value = flow["tcp_info"][name]
            if value is None:
                assert row.info[name] is None
            else:
                scale = 1000 if name in SS2_MILLISECONDS else 1
                assert _agrees(seen, row.cookie, name, round(value * scale)), (name, value)
