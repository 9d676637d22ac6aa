"""Prometheus' web configuration file: who may ask, and how the connection is protected."""

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, TypeAlias

from ss_pusher.config.convert import Walk, convert
from ss_pusher.config.document import compose
from ss_pusher.config.file import read, told
from ss_pusher.config.invalid import InvalidError
from ss_pusher.config.secrecy import warn_of_exposed_files
from ss_pusher.config.secret import Secret
from ss_pusher.config.section import Check, Problems, Section, Steps, both_or_neither
from ss_pusher.config.values import FilePath, HeaderValue, Kind, Name, SecretFile, choice
from ss_pusher.errors import ConfigError

_BCRYPT: Final = re.compile(r"\$2[aby]\$(0[4-9]|1[0-9]|2[0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_NEEDS: Final = (
    "needs the package bcrypt beside ss_pusher; `pip install bcrypt` or `pipx inject ss_pusher bcrypt` gets it"
)
_COSTLIEST: Final = 20
"""Each step doubles the time that a login takes, and nobody else's password is looked at meanwhile."""
_INLINE: Final = "write it into a file of its own, and name that"
_ANSWERS: Final = {"X-Content-Type-Options": ("nosniff",), "X-Frame-Options": ("deny", "sameorigin")}
_PROVING: Final = "RequireAndVerifyClientCert"

CIPHERS: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""The suites up to TLS 1.2 that are good today, by their names of IANA, which are Go's, with those of OpenSSL."""

Version: TypeAlias = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


def parse_bcrypt(text: str) -> Secret:
    """A password's hash as htpasswd -B writes it."""
    if not _BCRYPT.fullmatch(text):
        raise InvalidError("is no bcrypt hash; `htpasswd -nBC 10 \"\" | tr -d ':\\n'` makes one")
    if int(text[4:6]) > _COSTLIEST:
        raise InvalidError(
            f"has the cost {text[4:6]}, so that a login would take minutes; 10 is usual, and {_COSTLIEST} the most"
        )
    return Secret(text)


def parse_user(text: str) -> str:
    """A user's name as RFC 7617 can send it."""
    if ":" in text:
        raise InvalidError("has a colon, which no user's name can have")
    return text


def parse_client_auth(text: str) -> str:
    """A policy for clients' certificates that can be kept."""
    if text in ("RequireAnyClientCert", "RequireClientCert"):
        raise InvalidError(f"is not taken, since anyone can make such a certificate; {_PROVING} would be right")
    return str(_CLIENT_AUTH.parse(text))


_CLIENT_AUTH: Final = choice(("NoClientCert", "RequestClientCert", "VerifyClientCertIfGiven", _PROVING))
_CIPHER: Final = choice(tuple(CIPHERS))
_HEADER: Final = choice(("Content-Security-Policy", "Strict-Transport-Security", *_ANSWERS, "X-XSS-Protection"))


def _authority_and_policy(client_auth_type: str, client_ca_file: Path | None) -> Problems:
    if client_ca_file and client_auth_type in ("NoClientCert", "RequestClientCert"):
        yield ("client_ca_file",), f"has no effect with {client_auth_type}; client_auth_type: {_PROVING} would be right"
    if client_auth_type in ("VerifyClientCertIfGiven", _PROVING) and not client_ca_file:
        yield ("client_auth_type",), "needs client_ca_file"


def _names_need_certificates(client_auth_type: str, names: tuple[str, ...]) -> Problems:
    if names and client_auth_type != _PROVING:
        yield ("client_allowed_sans",), f"needs client_auth_type: {_PROVING}"


def _versions_in_order(least: str, most: str) -> Problems:
    if least > most:
        yield ("max_version",), "is older than min_version"


class TlsServer(Section, frozen=True, kw_only=True):
    """`tls_server_config`."""

    cert_file: FilePath | None = None
    key_file: SecretFile | None = None
    client_auth_type: Annotated[str, Kind("policy", parse_client_auth)] = "NoClientCert"
    client_ca_file: FilePath | None = None
    client_allowed_sans: tuple[Name, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[Annotated[str, _CIPHER], ...] = ()

    checks = (
        both_or_neither("cert_file", "key_file"),
        Check(("client_auth_type", "client_ca_file"), _authority_and_policy),
        Check(("client_auth_type", "client_allowed_sans"), _names_need_certificates),
        Check(("min_version", "max_version"), _versions_in_order),
    )
    without_effect: ClassVar[Mapping[str, str]] = {
        "prefer_server_cipher_suites": "the order of this server holds",
    }
    refused: ClassVar[Mapping[str, str]] = {
        "cert": _INLINE,
        "key": _INLINE,
        "client_ca": _INLINE,
        "curve_preferences": "OpenSSL's own choice holds; remove it",
    }


def _known_answers(headers: Mapping[str, Secret]) -> Problems:
    for name, value in headers.items():
        allowed = _ANSWERS.get(name, ())
        if allowed and value.reveal() not in ("", *allowed):
            yield ("headers", name), f"is not {' or '.join(allowed)}"


class HttpServer(Section, frozen=True, kw_only=True):
    """`http_server_config`."""

    headers: Mapping[Annotated[str, _HEADER], HeaderValue] = {}

    checks = (Check(("headers",), _known_answers),)
    without_effect: ClassVar[Mapping[str, str]] = {"http2": "answers go by HTTP/1.1"}


def _policy_needs_tls(tls: TlsServer) -> Iterator[tuple[Steps, str]]:
    if tls != TlsServer() and tls.cert_file is None:
        yield ("tls_server_config",), "lacks cert_file and key_file"


def _bcrypt_is_there(users: Mapping[str, Secret]) -> Problems:
    if users and find_spec("bcrypt") is None:
        yield ("basic_auth_users",), _NEEDS


class Web(Section, frozen=True, kw_only=True):
    """The whole file."""

    tls_server_config: TlsServer = TlsServer()
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: Mapping[
        Annotated[str, Kind("text", parse_user)], Annotated[Secret, Kind("bcrypt hash", parse_bcrypt, echo=False)]
    ] = {}

    checks = (
        Check(("tls_server_config",), _policy_needs_tls),
        Check(("basic_auth_users",), _bcrypt_is_there),
    )
    refused: ClassVar[Mapping[str, str]] = {
        "rate_limit": "connections and the cost of passwords are bounded anyway; remove it"
    }


class LoadedWeb(NamedTuple):
    """A file that can be used, and what is odd about it, each with its place in the file."""

    web: Web
    warnings: tuple[str, ...]


def load_web(path: Path) -> LoadedWeb:
    """Read such a file; paths inside are taken from its directory, and nothing is expanded, as in Prometheus.

    Raises:
        ConfigError: With every problem of the file.
    """
    name = str(path)
    walk = Walk(name, path.parent, None)
    web = convert(compose(read(path)[0], name, may_be_empty=True), Web, walk)
    if walk.problems or web is None:
        raise ConfigError(told(name, walk.problems))
    if web.tls_server_config.client_auth_type == "RequestClientCert":
        walk.warning(("tls_server_config", "client_auth_type"), f"looks at no certificate; {_PROVING} would")
    warn_of_exposed_files(walk)
    return LoadedWeb(web, tuple(told(name, walk.warnings)))
