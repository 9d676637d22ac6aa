"""Addresses as labels."""

from ipaddress import ip_network

from ss_pusher.attribute.networks import Networks, Prefix, folded
from tests.attribute.rows import row, table

FLOWS = table(
    row("10.0.0.1:1", "10.1.2.3:80"),
    row("10.0.0.1:1", "192.0.2.255:80"),
    row("[2001:db8::1]:1", "[2001:db8:1:2:3:4:5:6]:80"),
    row("[2001:db8::1]:1", "[::ffff:1]:80"),
)
IPV4 = 0xFFFF_0000_0000


def test_an_address_is_folded_to_the_prefix_of_its_family() -> None:
    assert folded(FLOWS.remote, FLOWS.family, Prefix(ipv4=24, ipv6=48)).tolist() == [
        [0, IPV4 + 0x0A_01_02_00, 120],
        [0, IPV4 + 0xC0_00_02_00, 120],
        [0x2001_0DB8_0001_0000, 0, 48],
        [0, 0, 48],
    ]


def test_an_unfolded_address_is_a_prefix_of_128_bits() -> None:
    key = folded(FLOWS.remote, FLOWS.family, Prefix())
    assert key[:, :2].tolist() == FLOWS.remote.tolist()
    assert set(key[:, 2].tolist()) == {128}


def test_a_prefix_of_all_bits_of_one_family_leaves_it_whole() -> None:
    assert folded(FLOWS.remote, FLOWS.family, Prefix(ipv4=32, ipv6=0)).tolist()[1:3] == [
        [0, IPV4 + 0xC0_00_02_FF, 128],
        [0, 0, 0],
    ]


def test_networks_are_numbered_by_name() -> None:
    networks = Networks.of(
        {
            "office": [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")],
            "lab": [ip_network("10.1.0.0/16")],
        }
    )
    assert [["", *networks.names][at] for at in networks.table.lookup(FLOWS.remote)] == ["lab", "", "office", ""]
