"""The sections that say where to send and who sends."""

from collections.abc import Iterator, Mapping
from os import uname
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field

from ss_pusher.config.secret import Url
from ss_pusher.config.section import Check, Section, Steps, at_least_one, at_most_one, both_or_neither
from ss_pusher.config.values import (
    AuthScheme,
    Duration,
    FilePath,
    HeaderName,
    HeaderValue,
    HttpUrl,
    LabelName,
    Name,
    Password,
    ProxyUrl,
    SecretFile,
    Size,
)


class BasicAuth(Section, frozen=True, kw_only=True):
    """User name and password, RFC 7617."""

    username: Annotated[str | None, Meta(description="The user's name.")] = None
    username_file: Annotated[FilePath | None, Meta(description="A file that holds the user's name.")] = None
    password: Annotated[Password | None, Meta(description="The password; a file keeps it out of here.")] = None
    password_file: Annotated[
        SecretFile | None, Meta(description="A file that holds the password. It is read again when it changes.")
    ] = None

    checks = (
        at_least_one("username", "username_file"),
        at_most_one("username", "username_file"),
        at_most_one("password", "password_file"),
    )


class Authorization(Section, frozen=True, kw_only=True):
    """A token in the Authorization header, RFC 6750 when its type is Bearer."""

    type: Annotated[AuthScheme, Meta(description="The authentication scheme.")] = "Bearer"
    credentials: Annotated[Password | None, Meta(description="The token; a file keeps it out of here.")] = None
    credentials_file: Annotated[
        SecretFile | None, Meta(description="A file that holds the token. It is read again when it changes.")
    ] = None

    checks = (
        at_least_one("credentials", "credentials_file"),
        at_most_one("credentials", "credentials_file"),
    )


class TlsConfig(Section, frozen=True, kw_only=True):
    """How a server is known, and how this host makes itself known."""

    ca_file: Annotated[
        FilePath | None, Meta(description="Certificate authorities in PEM to trust instead of the system's.")
    ] = None
    cert_file: Annotated[FilePath | None, Meta(description="This client's certificate in PEM.")] = None
    key_file: Annotated[SecretFile | None, Meta(description="The certificate's private key in PEM.")] = None
    server_name: Annotated[
        Name | None, Meta(description="The name that the server's certificate must carry, where it is not the URL's.")
    ] = None
    insecure_skip_verify: Annotated[
        bool, Meta(description="Trust any certificate. Whoever is on the way then reads the password.")
    ] = False
    min_version: Annotated[
        Literal["TLS10", "TLS11", "TLS12", "TLS13"] | None,
        Meta(description="The oldest version of TLS to speak; by default what Python's ssl module allows."),
    ] = None

    checks = (both_or_neither("cert_file", "key_file"),)


class OAuth2(Section, frozen=True, kw_only=True):
    """OAuth 2.0 client credentials, RFC 6749 section 4.4."""

    client_id: Annotated[Name, Meta(description="The client's name.")]
    client_secret: Annotated[Password | None, Meta(description="The client's secret; a file keeps it out of here.")] = (
        None
    )
    client_secret_file: Annotated[SecretFile | None, Meta(description="A file that holds the client's secret.")] = None
    token_url: Annotated[HttpUrl, Meta(description="Where tokens are asked for.")]
    scopes: Annotated[tuple[Name, ...], Meta(description="Scopes to ask for.")] = ()
    endpoint_params: Annotated[
        Mapping[Name, Password], Meta(description="Further parameters of the token request, such as audience.")
    ] = {}
    tls_config: Annotated[TlsConfig, Meta(description="TLS towards `token_url`.")] = TlsConfig()

    checks = (
        at_least_one("client_secret", "client_secret_file"),
        at_most_one("client_secret", "client_secret_file"),
    )


class SigV4(Section, frozen=True, kw_only=True):
    """Signatures for Amazon's managed service, AWS Signature Version 4."""

    region: Annotated[Name | None, Meta(description="The region; by default that of the AWS credential chain.")] = None
    access_key: Annotated[
        Name | None, Meta(description="The access key's name; by default from the AWS credential chain.")
    ] = None
    secret_key: Annotated[Password | None, Meta(description="The access key's secret.")] = None
    profile: Annotated[Name | None, Meta(description="A profile of the AWS configuration files.")] = None
    role_arn: Annotated[Name | None, Meta(description="A role to assume.")] = None

    checks = (both_or_neither("access_key", "secret_key"),)


def one_identity(*keys: str) -> Check:
    """Of these ways to say who sends one may be given; a user in the URL is one too."""

    def find(url: Url, *values: object) -> Iterator[tuple[Steps, str]]:
        given = [key for key, value in zip(keys, values, strict=True) if value is not None]
        if url.has_credentials() and given:
            yield (given[0],), "does not go together with the user in url; give one of them"
        for key in given[1:]:
            yield (key,), f"does not go together with {given[0]}; give one of them"

    return Check(("url", *keys), find)


class Endpoint(Section, frozen=True, kw_only=True):
    """What a server of any protocol needs to be reached over HTTP."""

    headers: Annotated[
        Mapping[HeaderName, HeaderValue],
        Meta(
            description="Further headers of every request, such as a tenant's name.",
            examples=[{"X-Scope-OrgID": "team-a"}],
        ),
    ] = {}
    basic_auth: Annotated[
        BasicAuth | None,
        Meta(
            description="User name and password.",
            examples=[{"username": "edge", "password_file": "/run/secrets/push"}],
        ),
    ] = None
    authorization: Annotated[
        Authorization | None,
        Meta(description="A bearer token.", examples=[{"credentials_file": "${CREDENTIALS_DIRECTORY}/token"}]),
    ] = None
    tls_config: Annotated[
        TlsConfig,
        Meta(
            description="An authority of your own, and a certificate for this client.",
            examples=[{"ca_file": "/etc/ssl/mimir.pem"}],
        ),
    ] = TlsConfig()
    proxy_url: Annotated[
        ProxyUrl | None,
        Meta(
            description="The HTTP or SOCKS proxy on the way.",
            examples=["http://proxy.example:3128"],
        ),
    ] = None
    no_proxy: Annotated[
        Name | None,
        Meta(description="Hosts, domains and networks, with commas between them, that are reached without the proxy."),
    ] = None


def _backoff_grows(least: float, most: float) -> Iterator[tuple[Steps, str]]:
    if least > most:
        yield ("max_backoff",), "is shorter than min_backoff"


class QueueConfig(Section, frozen=True, kw_only=True):
    """How samples are gathered into requests, and how a failed request is tried again."""

    max_samples_per_send: Annotated[int, Meta(description="Samples in one request at most.", gt=0)] = 5000
    max_bytes_per_send: Annotated[
        Size,
        Meta(description="Bytes in one request's body at most; 0 sets no limit. Amazon's service takes 1MB.", ge=0),
    ] = 0
    batch_send_deadline: Annotated[
        Duration,
        Meta(description="Has no effect, since each tick is sent at once; taken from Prometheus' blocks.", gt=0),
    ] = 5.0
    min_backoff: Annotated[Duration, Meta(description="The first pause after a failed request.", gt=0)] = 1.0
    max_backoff: Annotated[
        Duration, Meta(description="The longest pause; each one doubles the one before, with jitter.", gt=0)
    ] = 60.0
    sample_age_limit: Annotated[
        Duration, Meta(description="Samples older than this are given up and counted; 0 keeps them.", ge=0)
    ] = 7200.0

    checks = (Check(("min_backoff", "max_backoff"), _backoff_grows),)
    without_effect: ClassVar[Mapping[str, str]] = {
        "capacity": "the queue is bounded by spool.max_bytes and spool.max_age",
        "min_shards": "each endpoint has one connection, which keeps samples in order",
        "max_shards": "each endpoint has one connection, which keeps samples in order",
        "retry_on_http_429": "429 is always tried again",
    }


class RemoteWrite(Endpoint, frozen=True, kw_only=True):
    """A server that takes Prometheus remote write. The keys are Prometheus' own, so a block can be pasted."""

    url: Annotated[
        HttpUrl, Meta(description="The server's write endpoint.", examples=["http://127.0.0.1:9090/api/v1/write"])
    ]
    name: Annotated[
        Name | None, Meta(description="The endpoint's name in logs and metrics; by default the URL's host.")
    ] = None
    remote_timeout: Annotated[
        Duration, Meta(description="The deadline of one push, from the connection to the answer's last byte.", gt=0)
    ] = 30.0
    protobuf_message: Annotated[
        Literal["auto", "prometheus.WriteRequest", "io.prometheus.write.v2.Request"],
        Meta(description="Remote write 1.0, 2.0, or auto: 2.0 where the server takes it."),
    ] = "auto"
    send_native_histograms: Annotated[
        bool, Meta(description="Send each histogram as one native series, in place of the series of its buckets.")
    ] = False
    stale_on_exit: Annotated[
        bool | None,
        Meta(
            description="Mark the series as ended when the command ends; by default agent and run do, once does not.",
            examples=[True],
        ),
    ] = None
    follow_redirects: Annotated[
        bool, Meta(description="Follow 307 and 308 to the same scheme, host and port; no other redirect is followed.")
    ] = True
    queue_config: Annotated[
        QueueConfig, Meta(description="How samples are gathered, and how a failed request is tried again.")
    ] = QueueConfig()
    bearer_token: Annotated[Password | None, Meta(description="Older spelling of `authorization.credentials`.")] = None
    bearer_token_file: Annotated[
        SecretFile | None, Meta(description="Older spelling of `authorization.credentials_file`.")
    ] = None
    oauth2: Annotated[OAuth2 | None, Meta(description="Tokens by OAuth 2.0 client credentials.")] = None
    sigv4: Annotated[SigV4 | None, Meta(description="Signatures for Amazon's managed service.")] = None

    checks = (one_identity("basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2", "sigv4"),)
    without_effect: ClassVar[Mapping[str, str]] = {
        "enable_http2": "requests go by HTTP/1.1",
        "metadata_config": "type, help and unit go with every series",
        "send_exemplars": "there are no exemplars to send",
    }
    refused: ClassVar[Mapping[str, str]] = {
        "http_headers": "write headers, one value for each name",
        "proxy_from_environment": "write proxy_url",
        "write_relabel_configs": "series are chosen by filter, group and metrics",
    }


def _not_a_group(url: Url) -> Iterator[tuple[Steps, str]]:
    if "/metrics/job" in url.split().path:
        yield ("url",), "names a group; give the Pushgateway's own URL, and the group in job and grouping_key"


def _no_second_job(grouping_key: Mapping[str, str]) -> Iterator[tuple[Steps, str]]:
    if "job" in grouping_key:
        yield ("grouping_key", "job"), "stands in the key job already; leave it out here"


class Pushgateway(Endpoint, frozen=True, kw_only=True):
    """A Pushgateway. Each push of the agent replaces the whole group; docs/batch.md has what a job's does."""

    url: Annotated[HttpUrl, Meta(description="The Pushgateway's own URL.", examples=["http://127.0.0.1:9091"])]
    job: Annotated[Name, Meta(description="The label job of the group.")] = "ss_pusher"
    grouping_key: Annotated[
        Mapping[LabelName, str],
        Meta(
            description="The group's other labels. Two hosts with the same ones replace each other's metrics.",
            extra={"default": {"instance": "${HOSTNAME}"}},
        ),
    ] = field(default_factory=lambda: {"instance": uname().nodename})
    timeout: Annotated[
        Duration, Meta(description="The deadline of one push, from the connection to the answer's last byte.", gt=0)
    ] = 10.0
    on_exit: Annotated[
        Literal["keep", "delete"], Meta(description="Whether the group stays on the Pushgateway when the command ends.")
    ] = "keep"
    linger: Annotated[
        Duration,
        Meta(description="With delete: how long the last values stay first, so that they are scraped once.", ge=0),
    ] = 0.0
    send_native_histograms: Annotated[
        bool,
        Meta(description="Push protobuf, which holds each histogram as a native one too; text where that is refused."),
    ] = False

    checks = (
        one_identity("basic_auth", "authorization"),
        Check(("url",), _not_a_group),
        Check(("grouping_key",), _no_second_job),
    )
