"""TLS settings of an endpoint, and the context made of them."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import certifi

from ss_pusher.files import MAX_PEM, read_file
from ss_pusher.send.deadline import Deadline, DeadlineContext

VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
"""The names in Prometheus' tls_config."""

FileStamp: TypeAlias = tuple[int, int, int]
"""What tells a file from the one that replaces it: inode, time of change in nanoseconds, size in bytes."""

Stamp: TypeAlias = tuple[FileStamp | None, ...]
"""Those of several files. None: it cannot be seen."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Prometheus' tls_config. Without `ca_file` the system's authorities are trusted."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: str = "TLS12"

    def stamp(self) -> Stamp:
        """Changes when one of the files changes."""
        return tuple(stamp(path) for path in (self.ca_file, self.cert_file, self.key_file) if path)


def stamp(path: Path) -> FileStamp | None:
    """The file's stamp; None where it cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def make_context(settings: TlsSettings, deadline: Deadline) -> DeadlineContext:
    """A context for client connections. Raises OSError (ssl.SSLError is one) naming the file that cannot be used."""
    context = DeadlineContext(ssl.PROTOCOL_TLS_CLIENT)
    context.deadline = deadline
    context.minimum_version = VERSIONS[settings.min_version]
    if settings.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca_file:
        with naming(f"ca_file {settings.ca_file}", settings.ca_file):
            context.load_verify_locations(cafile=settings.ca_file)
    else:
        _load_system_authorities(context)
    if settings.cert_file:
        key_file = settings.key_file or settings.cert_file
        with naming(f"cert_file {settings.cert_file}, key_file {key_file}", settings.cert_file, key_file):
            # An empty password: OpenSSL would ask for one at the terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    return context


@contextmanager
def naming(files: str, *paths: Path) -> Iterator[None]:
    """An OSError within says which files it is about. What is no readable regular file among `paths` raises one.

    OpenSSL would wait for a pipe, and read a device for ever.
    """
    try:
        for path in paths:
            read_file(path, MAX_PEM)
        yield
    except OSError as error:
        raise OSError(f"{files}: {error.strerror or error}") from error


def _load_system_authorities(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        # A Python that was built elsewhere looks where this system has nothing.
        context.load_verify_locations(cafile=certifi.where())
