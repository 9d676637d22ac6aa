"""Networks, ports, addresses and URLs, as people write them."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from ss_pusher.config.invalid import InvalidError
from ss_pusher.config.secret import Url

Network: TypeAlias = IPv4Network | IPv6Network

MAX_PORT: Final = 65535
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
# Labels of 1 to 63 characters, and 253 in all: RFC 1035, section 2.3.4. Names in use have the underscore too.
_HOST: Final = re.compile(r"(?!-|.{255})[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*(?<!-)\.?")
_WHITE_OR_CONTROL: Final = re.compile(r"[\s\x00-\x1f\x7f]")


class PortRange(NamedTuple):
    """Ports `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class ListenAddress(NamedTuple):
    """Where to listen. An empty host means every address of this machine, port 0 any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_cidr(text: str) -> Network:
    """A network such as 10.0.0.0/8 or fd00::/8; a bare address is a network of one."""
    wrong = InvalidError("is no network; write one like 10.0.0.0/8 or fd00::/8")
    _, slash, length = text.partition("/")
    if "%" in text or (slash and not re.fullmatch(r"[0-9]{1,3}", length)):
        raise wrong
    try:
        network = ip_network(text, strict=False)
        exact = not slash or ip_address(text.partition("/")[0]) == network.network_address
    except ValueError:
        raise wrong from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        folded = IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
        raise InvalidError(f"is IPv4 in IPv6 notation; {folded} would be right")
    if not exact:
        raise InvalidError(f"has host bits set; {network} would be right")
    return network


def parse_port_range(text: str) -> PortRange:
    """A port such as 443, or a range such as 8000-8999."""
    match = re.fullmatch(r"([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?", text)
    if match is None:
        raise InvalidError("is no port; write 443, or a range like 8000-8999")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if not (1 <= first <= MAX_PORT and 1 <= last <= MAX_PORT):
        raise InvalidError(f"is impossible; ports go from 1 to {MAX_PORT}")
    if first > last:
        raise InvalidError(f"runs backwards; {last}-{first} would be right")
    return PortRange(first, last)


def parse_listen_address(text: str) -> ListenAddress | None:
    """HOST:PORT, [IPV6]:PORT or :PORT; the empty text is None."""
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise InvalidError("is no address to listen on; write HOST:PORT, like 127.0.0.1:8090 or [::1]:8090")
    bare = host.removeprefix("[").removesuffix("]")
    if host and not (_is_ipv6(bare) if host.startswith("[") else _HOST.fullmatch(host)):
        raise InvalidError("has no valid host; write HOST:PORT, like 127.0.0.1:8090 or [::1]:8090")
    return ListenAddress(bare, int(port))


def parse_host_name(text: str) -> str:
    """A DNS name such as example.org, in ASCII."""
    if not _HOST.fullmatch(text):
        raise InvalidError("is no host name; write one like example.org")
    return text


def parse_url(text: str) -> Url:
    """An absolute http or https URL."""
    return _parse_url(text, ("http", "https"), "https://mimir.example/api/v1/push")


def parse_proxy_url(text: str) -> Url:
    """The URL of an HTTP or SOCKS proxy."""
    return _parse_url(text, ("http", "https", "socks5", "socks5h"), "http://proxy.example:3128")


def _parse_url(text: str, schemes: tuple[str, ...], example: str) -> Url:
    wrong = InvalidError(f"is no URL; write one like {example}")
    if not text or _WHITE_OR_CONTROL.search(text):
        raise wrong
    try:
        parts = urlsplit(text)
    except ValueError:
        raise wrong from None
    if parts.scheme not in schemes:
        raise InvalidError(f"does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise InvalidError(f"has no valid port; ports go from 1 to {MAX_PORT}")
    host = parts.hostname or ""
    if not (_is_ipv6(host) or _HOST.fullmatch(host)):
        raise InvalidError(f"has no valid host; write a URL like {example}")
    if parts.fragment:
        raise InvalidError("has a fragment, which a server never sees; write %23 for a literal #")
    return Url(text)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
