"""Requests, and what they and the replies are made of, against pyroute2's classes and constants."""

import struct
import subprocess
import sys
from collections.abc import Sequence

from ss_pusher.model import TcpState
from ss_pusher.netlink import columns, wire
from ss_pusher.netlink.tcp_info import FIELDS
from tests.netlink.messages import attribute


def test_a_request_asks_for_the_states_and_attributes_as_the_kernel_reads_them() -> None:
    request = wire.dump_request([TcpState.ESTABLISHED, TcpState.LISTEN], (2, 4), b"", 0x1234)
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", request)
    extensions, states = struct.unpack_from("=3xB48xI", request, 16)
    assert (length, kind, flags, sequence, port) == (len(request), 18, 0x301, 0x1234, 0)
    assert (extensions, states) == (0b1010, 1 << 1 | 1 << 10)
    assert len(request) == 16 + 60


def test_a_request_carries_the_filter_as_an_attribute() -> None:
    plain, filtered = (wire.dump_request([], (), program, 1) for program in (b"", b"\1\4\xff\xff"))
    assert filtered[4:76] == plain[4:]
    assert filtered[76:] == attribute(1, b"\1\4\xff\xff")
    assert struct.unpack_from("=I", filtered) == (len(filtered),)


def test_only_what_is_read_is_asked_for() -> None:
    assert wire.extensions_for([FIELDS["send_queue"]], congestion=False) == ()
    assert wire.extensions_for([FIELDS["rtt"]], congestion=False) == (2,)
    assert wire.extensions_for([FIELDS["rtt"]], congestion=True) == (2, 4)


def test_reading_sockets_does_not_pay_for_the_import_of_pyroute2() -> None:
    program = "import sys, ss_pusher.netlink.closed; sys.exit('pyroute2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_constants_are_those_of_pyroute2() -> None:
    from pyroute2 import netlink  # noqa: PLC0415 - it costs half a second, for two tests only
    from pyroute2.netlink import diag  # noqa: PLC0415 - the same

    for name in ("NLM_F_REQUEST", "NLM_F_DUMP", "NLM_F_DUMP_INTR", "NLMSG_NOOP", "NLMSG_ERROR", "NLMSG_DONE"):
        assert getattr(wire, name) == getattr(netlink, name)
    assert wire.NLMSG_OVERRUN == netlink.NLMSG_OVERRUN
    assert wire.SOCK_DIAG_BY_FAMILY == diag.SOCK_DIAG_BY_FAMILY
    attributes = [name for name, _ in diag.inet_diag_msg.nla_map]
    for name in ("INET_DIAG_INFO", "INET_DIAG_CONG", "INET_DIAG_CGROUP_ID"):
        assert getattr(columns, name) == attributes.index(name)
    for state in TcpState:
        assert state == getattr(diag, f"SS_{state.name}")


def test_the_message_is_laid_out_as_in_pyroute2() -> None:
    from pyroute2.netlink import diag  # noqa: PLC0415 - it costs half a second, for two tests only

    for name, form in diag.inet_diag_msg.fields:
        ours = _RENAMED.get(name, name.removeprefix("idiag_"))
        size = struct.calcsize("=" + form.lstrip(">"))
        assert columns.MESSAGE.fields is not None
        dtype, offset, *_ = columns.MESSAGE.fields[ours]
        assert dtype.itemsize == size, name
        assert offset == 16 + _offset(diag.inet_diag_msg.fields, name)


_RENAMED = {
    "idiag_sport": "local_port",
    "idiag_dport": "remote_port",
    "idiag_src": "local",
    "idiag_dst": "remote",
    "idiag_if": "interface",
}


def _offset(fields: Sequence[tuple[str, str]], name: str) -> int:
    names = [field for field, _ in fields]
    return sum(struct.calcsize("=" + form.lstrip(">")) for _, form in fields[: names.index(name)])
