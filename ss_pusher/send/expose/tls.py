"""TLS towards clients: Prometheus' tls_server_config, and the context made of it."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, TypeAlias

from ss_pusher.send.tls import VERSIONS, naming

ClientAuth: TypeAlias = Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]

_MODES: Final[dict[ClientAuth, ssl.VerifyMode]] = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Prometheus' tls_server_config. `ciphers` have OpenSSL's names; those of TLS 1.3 are always there."""

    cert_file: Path
    key_file: Path
    client_auth: ClientAuth = "NoClientCert"
    client_ca_file: Path | None = None
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()

    def files(self) -> tuple[Path, ...]:
        """All that it is made of."""
        return tuple(file for file in (self.cert_file, self.key_file, self.client_ca_file) if file)


def make_server_context(settings: ServerTls) -> ssl.SSLContext:
    """A context for clients' connections. Raises OSError (ssl.SSLError is one) naming the file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[settings.min_version]
    context.maximum_version = VERSIONS[settings.max_version]
    if settings.ciphers:
        context.set_ciphers(":".join(settings.ciphers))
    files = f"cert_file {settings.cert_file}, key_file {settings.key_file}"
    with naming(files, settings.cert_file, settings.key_file):
        # An empty password: OpenSSL would ask for one at the terminal.
        context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    if settings.client_ca_file:
        with naming(f"client_ca_file {settings.client_ca_file}", settings.client_ca_file):
            context.load_verify_locations(cafile=settings.client_ca_file)
    context.verify_mode = _MODES[settings.client_auth]
    return context


def allowed(connection: ssl.SSLSocket, names: frozenset[str]) -> bool:
    """Whether the client's certificate, which was verified, bears one of these names, or there are none to bear."""
    return not names or not names.isdisjoint(_names(connection))


def _names(connection: ssl.SSLSocket) -> Iterator[str]:
    certificate = connection.getpeercert() or {}
    alternatives: tuple[tuple[str, str], ...] = certificate.get("subjectAltName", ())  # type: ignore[assignment] # typeshed knows no shape of each key
    for kind, name in alternatives:
        yield str(ip_address(name.strip())) if kind == "IP Address" else name
