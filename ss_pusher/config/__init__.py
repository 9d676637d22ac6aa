"""The configuration: what it may hold, and how a file becomes one."""

from ss_pusher.config.endpoint import (
    Authorization,
    BasicAuth,
    Endpoint,
    OAuth2,
    Pushgateway,
    QueueConfig,
    RemoteWrite,
    SigV4,
    TlsConfig,
)
from ss_pusher.config.filter import Conditions, Rule
from ss_pusher.config.load import Loaded, load, parse
from ss_pusher.config.network import ListenAddress, PortRange
from ss_pusher.config.schema import Config
from ss_pusher.config.secret import Secret, Url

__all__ = [
    "Authorization",
    "BasicAuth",
    "Conditions",
    "Config",
    "Endpoint",
    "ListenAddress",
    "Loaded",
    "OAuth2",
    "PortRange",
    "Pushgateway",
    "QueueConfig",
    "RemoteWrite",
    "Rule",
    "Secret",
    "SigV4",
    "TlsConfig",
    "Url",
    "load",
    "parse",
]
