"""The table of fields, against the kernel's structure and against pyroute2's."""

import struct

from ss_pusher.netlink.tcp_info import FIELDS, Source
from tests.netlink import oracle


def test_every_member_of_tcp_info_is_where_the_kernel_has_it() -> None:
    members = {name: (offset, form.size) for name, offset, form in oracle.members()}
    scale, flags = members.pop("_wscale"), members.pop("_flags")
    bits = {"snd_wscale": scale, "rcv_wscale": scale, "delivery_rate_app_limited": flags, "fastopen_client_fail": flags}
    ours = {f.name: (f.offset, f.dtype.itemsize) for f in FIELDS.values() if f.source is Source.TCP_INFO}
    assert ours == members | bits


def test_no_field_reads_the_bytes_whose_meaning_differs_between_kernels() -> None:
    assert max(field.end for field in FIELDS.values()) == 276


def test_fields_are_where_pyroute2_has_them() -> None:
    from pyroute2.netlink import diag  # noqa: PLC0415 - it costs half a second, for this test only

    offset = 0
    compared = 0
    for name, form in diag.inet_diag_msg.tcp_info.fields:
        size = struct.calcsize("=" + form)
        field = FIELDS.get(name.removeprefix("tcpi_"))
        if field is not None:
            assert (field.offset, field.dtype.itemsize) == (offset, size), name
            compared += 1
        offset += size
    assert compared > 40


def test_what_tells_that_a_field_has_no_value_is_a_field_that_can() -> None:
    for field in FIELDS.values():
        if field.witness:
            assert FIELDS[field.witness].no_value is not None
