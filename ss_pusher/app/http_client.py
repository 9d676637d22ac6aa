"""HTTP clients of endpoints, made of their sections."""

from urllib.parse import urlunsplit

from ss_pusher.config import Endpoint, TlsConfig, Url
from ss_pusher.send.http import Client, HttpSettings
from ss_pusher.send.tls import TlsSettings


def make_client(section: Endpoint, *, follow_redirects: bool = False) -> Client:
    """The client of one endpoint, not yet connected."""
    settings = HttpSettings(
        headers={name: value.reveal() for name, value in section.headers.items()},
        tls=_tls(section.tls_config),
        proxy=section.proxy_url.reveal() if section.proxy_url else "",
        follow_redirects=follow_redirects,
    )
    return Client(settings)


def bare_url(url: Url) -> str:
    """The URL without user and password, which are sent as a header and stand in no log."""
    parts = url.split()
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _tls(section: TlsConfig) -> TlsSettings:
    return TlsSettings(
        ca_file=section.ca_file,
        cert_file=section.cert_file,
        key_file=section.key_file,
        server_name=section.server_name or "",
        insecure_skip_verify=section.insecure_skip_verify,
        min_version=section.min_version or "TLS12",
    )
