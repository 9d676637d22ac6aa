"""The endpoint that is asked rather than pushed to, and what protects it."""

import logging
from ipaddress import ip_address
from pathlib import Path
from typing import Final, cast

from ss_pusher.app import late
from ss_pusher.app.endpoints import ExposeEndpoint
from ss_pusher.clock import Clock
from ss_pusher.config import Config, ListenAddress
from ss_pusher.config.web import CIPHERS, TlsServer, Web, load_web
from ss_pusher.errors import ConfigError
from ss_pusher.send.expose import ExposeServer, Exposition, Format, Guard, Protection
from ss_pusher.send.expose.passwords import Passwords
from ss_pusher.send.expose.tls import ClientAuth, ServerTls, make_server_context

logger = logging.getLogger(__name__)

_PROTOBUF: Final = "application/vnd.google.protobuf"  # who asks for it has a use for native histograms
_DELIMITED: Final = {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}


def make_expose(config: Config, address: ListenAddress, clock: Clock) -> ExposeEndpoint:
    """The endpoint, not yet listening. While its web configuration cannot be used, it answers nobody."""
    labels = config.external_labels
    formats = (
        Format(_PROTOBUF, (_DELIMITED,), lambda snapshot: late.delimited(snapshot, labels)),
        Format(
            "application/openmetrics-text",
            (_version("1.0.0"), _version("0.0.1")),
            lambda snapshot: late.open_metrics(snapshot, labels),
        ),
        Format("text/plain", (_version("0.0.4"),), lambda snapshot: late.text(snapshot, labels)),
    )
    exposition = Exposition(formats, config.interval, clock.monotonic)
    path = config.expose.web_config_file
    guard = Guard(lambda: _protection(path, load_web(path).web), Passwords(late.bcrypt_matches)) if path else None

    def listen() -> ExposeServer:
        server = ExposeServer((address.host, address.port), exposition, guard)
        protection = guard.protection() if guard else Protection()
        _tell(server, protected=protection is None or not protection.is_none())
        return server

    return ExposeEndpoint(exposition, listen)


def _tell(server: ExposeServer, *, protected: bool) -> None:
    """Say where we listen, and that everybody may ask where that is so."""
    where = ListenAddress(server.host, server.port)
    logger.info("expose: /metrics and /health are served at %s", where)
    if not protected and not ip_address(server.host).is_loopback:
        logger.warning("expose: whoever reaches %s may read it; docs/expose.md tells of passwords and TLS", where)


def _version(number: str) -> dict[str, str]:
    return {"version": number, "charset": "utf-8"}


def check_web_config(config: Config, *, files: bool = True) -> None:
    """Raise ConfigError for what is wrong in the web configuration; log what is odd.

    With `files`, so is what is wrong in a file that it names.
    """
    path = config.expose.web_config_file
    if path and config.expose.listen_address:
        web, warnings = load_web(path)
        if files:
            _protection(path, web)
        for warning in warnings:
            logger.warning("%s", warning)


def _protection(path: Path, web: Web) -> Protection:
    tls = _tls(web.tls_server_config)
    try:
        context = make_server_context(tls) if tls else None
    except OSError as error:
        raise ConfigError([f"{path}: tls_server_config: {error}"]) from error
    return Protection(
        context=context,
        client_names=frozenset(web.tls_server_config.client_allowed_sans),
        users={user.encode(): hashed.reveal().encode() for user, hashed in web.basic_auth_users.items()},
        headers=_headers(web),
        files=(path, *(tls.files() if tls else ())),
    )


def _tls(section: TlsServer) -> ServerTls | None:
    if section.cert_file is None or section.key_file is None:
        return None
    asks = section.client_auth_type != "RequestClientCert"  # of which nothing would follow
    return ServerTls(
        cert_file=section.cert_file,
        key_file=section.key_file,
        client_auth=cast(ClientAuth, section.client_auth_type) if asks else "NoClientCert",
        client_ca_file=section.client_ca_file,
        min_version=section.min_version,
        max_version=section.max_version,
        ciphers=tuple(CIPHERS[name] for name in section.cipher_suites),
    )


def _headers(web: Web) -> dict[str, str]:
    written = {name: value.reveal() for name, value in web.http_server_config.headers.items()}
    return {name: value for name, value in written.items() if value}
