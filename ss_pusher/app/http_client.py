"""HTTP clients of endpoints, made of their sections."""

import os
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlunsplit

from ss_pusher.config import Authorization, BasicAuth, OAuth2, Pushgateway, RemoteWrite, Secret, SigV4, TlsConfig, Url
from ss_pusher.errors import ConfigError
from ss_pusher.send import auth, oauth2, sigv4
from ss_pusher.send.aws import AwsKeyChain
from ss_pusher.send.exchange import Answer
from ss_pusher.send.http import Authorize, Client
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.tls import TlsSettings

_AMAZON_PROMETHEUS: Final = "aps"


def make_client(section: RemoteWrite | Pushgateway, heard: Callable[[Answer], None] = lambda _: None) -> Client:
    """The client of one endpoint, not yet connected; `heard` is told of every answer."""
    direct = _is_listed(section.url.split().hostname or "", section.no_proxy or "")
    settings = HttpSettings(
        headers={name: value.reveal() for name, value in section.headers.items()},
        tls=_tls(section.tls_config),
        proxy=section.proxy_url.reveal() if section.proxy_url and not direct else "",
        follow_redirects=isinstance(section, RemoteWrite) and section.follow_redirects,
    )
    return Client(settings, _identity(section), heard)


def bare_url(url: Url) -> str:
    """The URL without user and password, which are sent as a header and stand in no log."""
    parts = url.split()
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _identity(section: RemoteWrite | Pushgateway) -> Authorize | None:
    """How the endpoint says who it is; the schema sees to it that there is one way at most."""
    if section.url.has_credentials():
        parts = section.url.split()
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        return auth.basic(lambda: username, lambda: password)
    if section.basic_auth:
        return _basic_auth(section.basic_auth)
    if section.authorization:
        return _authorization(section.authorization)
    return _identity_of_remote_write(section) if isinstance(section, RemoteWrite) else None


def _identity_of_remote_write(section: RemoteWrite) -> Authorize | None:
    if section.bearer_token or section.bearer_token_file:
        return auth.authorization("Bearer", _secret(section.bearer_token, section.bearer_token_file))
    if section.oauth2:
        return _oauth2(section.oauth2)
    return _sigv4(section.sigv4) if section.sigv4 else None


def _basic_auth(section: BasicAuth) -> Authorize:
    username = auth.SecretFile(section.username_file) if section.username_file else lambda: section.username or ""
    return auth.basic(username, _secret(section.password, section.password_file))


def _authorization(section: Authorization) -> Authorize:
    return auth.authorization(section.type, _secret(section.credentials, section.credentials_file))


def _oauth2(section: OAuth2) -> Authorize:
    return oauth2.OAuth2(
        Client(HttpSettings(tls=_tls(section.tls_config))),
        section.token_url.reveal(),
        section.client_id,
        _secret(section.client_secret, section.client_secret_file),
        scopes=section.scopes,
        parameters={name: value.reveal() for name, value in section.endpoint_params.items()},
    )


def _sigv4(section: SigV4) -> Authorize:
    """Signs for Amazon's managed Prometheus. Raises ConfigError where nothing says in which region that is."""
    environment = dict(os.environ)
    region = section.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if not region:
        raise ConfigError(["remote_write: sigv4: name the region, here or as AWS_REGION"])
    if section.access_key and section.secret_key:
        environment |= {"AWS_ACCESS_KEY_ID": section.access_key, "AWS_SECRET_ACCESS_KEY": section.secret_key.reveal()}
    keys = AwsKeyChain(
        Client(HttpSettings()),
        environment,
        region,
        time.time,
        profile=section.profile or "",
        role_arn=section.role_arn or "",
    )
    return sigv4.SigV4(keys, region, _AMAZON_PROMETHEUS, time.time)


def _secret(inline: Secret | None, file: Path | None) -> auth.ReadSecret:
    """A secret as it is when it is needed; empty where there is none."""
    if file:
        return auth.SecretFile(file)
    return inline.reveal if inline else str


def _tls(section: TlsConfig) -> TlsSettings:
    return TlsSettings(
        ca_file=section.ca_file,
        cert_file=section.cert_file,
        key_file=section.key_file,
        server_name=section.server_name or "",
        insecure_skip_verify=section.insecure_skip_verify,
        min_version=section.min_version or "TLS12",
    )


def _is_listed(host: str, listed: str) -> bool:
    """Whether `host` is in a list of hosts, domains, addresses and networks, with commas between them."""
    return any(_matches(host.lower(), entry.strip().lower()) for entry in listed.split(",") if entry.strip())


def _matches(host: str, entry: str) -> bool:
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        domain = entry.lstrip("*").lstrip(".")
        return not domain or host == domain or host.endswith(f".{domain}")
