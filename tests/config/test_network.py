"""Networks, ports, addresses and URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.config import network
from ss_pusher.config.invalid import InvalidError


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("fd00::/8", "fd00::/8"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_networks_of_both_families_and_bare_addresses(text: str, meaning: str) -> None:
    assert str(network.parse_cidr(text)) == meaning


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_host_bits_are_told_the_network_that_would_be_right(address: object, length: int) -> None:
    try:
        right = network.parse_cidr(f"{address}/{length}")
    except InvalidError as error:
        assert str(error).startswith("has host bits set; ")  # noqa: PT017  half of the addresses have none
        suggested = str(error).removeprefix("has host bits set; ").removesuffix(" would be right")
        right = network.parse_cidr(suggested)
    assert right.prefixlen == length
    assert int(address) >> (32 - length) == int(right.network_address) >> (32 - length)  # type: ignore[call-overload]  # an IPv4Address


def test_the_example_of_a_network_with_host_bits() -> None:
    with pytest.raises(InvalidError, match=r"^has host bits set; 10\.0\.0\.0/8 would be right$"):
        network.parse_cidr("10.0.0.1/8")


@pytest.mark.parametrize(("text", "right"), [("::ffff:10.1.2.3", "10.1.2.3/32"), ("::ffff:10.0.0.0/104", "10.0.0.0/8")])
def test_mapped_networks_are_told_their_ipv4_form_since_sockets_have_that(text: str, right: str) -> None:
    with pytest.raises(InvalidError, match=f"{right} would be right"):
        network.parse_cidr(text)


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0/8", "fe80::1%eth0", "x", "10.0.0.0/", "/8", "010.0.0.0/8", "1"],
)
def test_other_networks_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no network; write one like"):
        network.parse_cidr(text)


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_port_ranges_survive_being_written_and_read_unless_they_run_backwards(first: int, last: int) -> None:
    text = str(network.PortRange(first, last))
    if first <= last:
        assert network.parse_port_range(text) == (first, last)
    else:
        with pytest.raises(InvalidError, match=f"runs backwards; {last}-{first} would be right"):
            network.parse_port_range(text)


@pytest.mark.parametrize("text", ["0", "65536", "0-80", "80-65536", "999999999"])
def test_impossible_ports_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="ports go from 1 to 65535"):
        network.parse_port_range(text)


@pytest.mark.parametrize("text", ["", "http", "80-", "-80", "80-90-100", "80,90", "8e3"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no port; write 443"):
        network.parse_port_range(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8090", "127.0.0.1", 8090),
        ("[::1]:0", "::1", 0),
        (":9100", "", 9100),
        ("localhost:1", "localhost", 1),
    ],
)
def test_listen_addresses_survive_being_read_and_written(text: str, host: str, port: int) -> None:
    address = network.parse_listen_address(text)
    assert address == (host, port)
    assert str(address) == text


def test_no_listen_address_is_none() -> None:
    assert network.parse_listen_address("") is None


@pytest.mark.parametrize("text", ["8090", "127.0.0.1", "::1:8090", "[::1]", "[x]:1", "host:65536", "a b:1", "host:-1"])
def test_other_listen_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidError, match=r"write HOST:PORT, like 127\.0\.0\.1:8090"):
        network.parse_listen_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://mimir.example/api/v1/push",
        "http://127.0.0.1:9090/api/v1/write",
        "http://[fd00::1]:9090/",
        "https://user:password@host/x?db=a",
        "http://push_gateway:9091",
    ],
)
def test_urls_pass_unchanged(text: str) -> None:
    assert network.parse_url(text).reveal() == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no URL; write one like"),
        ("mimir.example/push", "does not begin with http:// or https://"),
        ("ftp://host/", "does not begin with http:// or https://"),
        ("http:///push", "has no valid host"),
        ("http://", "has no valid host"),
        ("http://user@/", "has no valid host"),
        ("http://-x/", "has no valid host"),
        ("http://a..b/", "has no valid host"),
        (f"http://{'a' * 64}.example/", "has no valid host"),
        ("http://host:0/", "has no valid port"),
        ("http://host:65536/", "has no valid port"),
        ("http://host:x/", "has no valid port"),
        ("http://[::1/", "is no URL"),
        ("http://ho st/", "is no URL"),
        ("http://host/\n", "is no URL"),
        ("http://host/#a", "has a fragment"),
    ],
)
def test_other_urls_are_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(InvalidError, match=complaint):
        network.parse_url(text)


def test_proxies_may_speak_socks() -> None:
    assert network.parse_proxy_url("socks5h://proxy:1080").split().port == 1080
    with pytest.raises(InvalidError, match="does not begin with"):
        network.parse_url("socks5h://proxy:1080")


def test_host_names_are_names() -> None:
    for text in ("db-1.example.org", "example.org.", "_srv.r3---a.example", "x", ".".join(["a" * 63] * 3)):
        assert network.parse_host_name(text) == text
    for text in ("", "a b", "http://x", "-a", "a-", "a.b-", ".", "a..b", "a..", ".a", "a" * 64, ".".join(["a"] * 128)):
        with pytest.raises(InvalidError, match="is no host name"):
            network.parse_host_name(text)
