"""The session of requests that a client works with: our connections, our TLS, nothing from the environment."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ss_pusher.send.deadline import Deadline, DeadlineSocket, connect
from ss_pusher.send.socks import SocksProxy, connect_through
from ss_pusher.send.tls import TlsSettings, make_context

Opener: TypeAlias = Callable[[str, int], DeadlineSocket]

_SOCKS_PORT: Final = 1080


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`proxy` is a URL of scheme http, https, socks5 or socks5h, or empty: the environment is never asked.

    `follow_redirects` follows 307 and 308 on the same host, which is as far as credentials may go.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: TlsSettings = field(default_factory=TlsSettings)
    proxy: str = field(default="", repr=False)
    follow_redirects: bool = False


def make_session(settings: HttpSettings, deadline: Deadline) -> requests.Session:
    """A session whose sockets end at the deadline. Raises OSError where a file of the TLS settings cannot be used."""
    session = requests.Session()
    session.trust_env = False  # no proxy, no .netrc, no authorities from the environment
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    proxy = urlsplit(settings.proxy)
    opener: Opener = partial(connect, deadline=deadline)
    if proxy.scheme.startswith("socks"):
        opener = partial(connect_through, _socks_proxy(settings.proxy), deadline=deadline)
    elif proxy.scheme:
        session.proxies = {"http": settings.proxy, "https": settings.proxy}
    adapter = _Adapter(make_context(settings.tls, deadline), settings, opener)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _socks_proxy(url: str) -> SocksProxy:
    parts = urlsplit(url)
    return SocksProxy(
        host=parts.hostname or "",
        port=parts.port or _SOCKS_PORT,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, opener: Opener, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._opener = opener

    def _new_conn(self) -> DeadlineSocket:
        return self._opener(self._dns_host, self.port)


class _TlsConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # Where the user has chosen not to verify, urllib3 would warn at every connection.
        self.is_verified = True


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Connections by our own opener and TLS context, where requests would build them from its own settings."""

    def __init__(self, context: ssl.SSLContext, settings: HttpSettings, opener: Opener) -> None:
        super().__init__()
        options: dict[str, Any] = {"ssl_context": context, "server_hostname": settings.tls.server_name or None}
        scheme = urlsplit(settings.proxy).scheme
        if scheme and not scheme.startswith("socks"):
            headers = self.proxy_headers(settings.proxy)
            self._manager: urllib3.PoolManager = urllib3.ProxyManager(
                settings.proxy, proxy_headers=headers, proxy_ssl_context=context, **options
            )
        else:
            self._manager = urllib3.PoolManager(**options)
        self._manager.pool_classes_by_scheme = {
            "http": partial(_Pool, opener=opener),  # type: ignore[dict-item]  # all it does is call them
            "https": partial(_TlsPool, opener=opener),  # type: ignore[dict-item]  # the same
        }

    def get_connection_with_tls_context(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        return self._manager.connection_from_url(str(request.url))

    def cert_verify(self, *_: Any, **__: Any) -> None:
        pass

    def close(self) -> None:
        self._manager.clear()
