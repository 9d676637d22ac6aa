"""Certificates for tests, made by openssl(1)."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests import needs


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def server_context(self, clients: Path | None = None) -> ssl.SSLContext:
        """For a server that shows this certificate, and wants one signed by `clients`, if given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cafile=clients)
        return context


class Authority:
    """Signs certificates; all files are in one directory."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
        _openssl("req", "-x509", *_new_key(self._pair.key), "-subj", f"/CN={name}", "-out", self.file)

    @property
    def file(self) -> Path:
        """The authority's own certificate."""
        return self._pair.certificate

    def sign(self, name: str, *, days: int = 1, host: str = "127.0.0.1") -> Pair:
        """A certificate for an address or a host name; it has expired where `days` is negative."""
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        kind = "IP" if host[0].isdigit() else "DNS"
        extensions.write_text(f"subjectAltName={kind}:{host}\n", encoding="ascii")
        _openssl("req", *_new_key(pair.key), "-subj", f"/CN={name}", "-out", request)
        signing: list[str | Path] = ["-CA", self.file, "-CAkey", self._pair.key, "-CAcreateserial", "-days", str(days)]
        _openssl("x509", "-req", "-in", request, *signing, "-extfile", extensions, "-out", pair.certificate)
        return pair


def _new_key(file: Path) -> list[str | Path]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file]


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([needs.command("openssl"), *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)
