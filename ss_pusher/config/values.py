"""The kinds of single values: how each is written, and how it is shown again."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from ss_pusher.config.invalid import InvalidError, suggestion
from ss_pusher.config.network import (
    ListenAddress,
    Network,
    PortRange,
    parse_cidr,
    parse_host_name,
    parse_listen_address,
    parse_port_range,
    parse_proxy_url,
    parse_url,
)
from ss_pusher.config.secret import Secret, Url


class Kind(NamedTuple):
    """A way to write a value: `parse` takes its text or raises InvalidError, `plain` gives what YAML would write."""

    noun: str
    parse: Callable[[str], Any]
    plain: Callable[[Any], str | int | bool] = str
    echo: bool = True  # whether an error may repeat what was written


# Prometheus' spelling, model.ParseDuration of prometheus/common: units in this order, whole numbers, each at most once.
_DURATION_UNITS: Final = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_DURATION: Final = re.compile("".join(rf"(?:([0-9]{{1,12}}){unit})?" for unit in _DURATION_UNITS))
_LONGEST_MS: Final = 100 * _DURATION_UNITS["y"]

_SIZE_UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DIGITS_OF_SIZE: Final = 12
_SIZE: Final = re.compile(rf"([0-9]{{1,{_DIGITS_OF_SIZE}}}) ?({'|'.join(_SIZE_UNITS)})")
_LONG_SIZE: Final = re.compile(rf"[0-9]+ ?({'|'.join(_SIZE_UNITS)})")
_LARGEST: Final = 10**18 - 1

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_METRIC_PATTERN: Final = re.compile(r"[a-zA-Z_:*][a-zA-Z0-9_:*]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")

# The sender's own, by the remote write specification and by what carries credentials.
_RESERVED_HEADERS: Final = re.compile(
    r"host|content-.*|user-agent|connection|keep-alive|proxy-auth.*|www-authenticate|accept-encoding|transfer-encoding"
    r"|x-prometheus-remote-write-version|x-amz-.*",
    re.IGNORECASE,
)

RANKINGS: Final = ("throughput", "retransmits", "retransmit_ratio", "rtt", "rtt_inflation", "flows")


def parse_duration(text: str) -> float:
    """Seconds from Prometheus' spelling: 15s, 1h30m, 500ms, 0."""
    if text == "0":
        return 0.0
    if re.fullmatch(r"[0-9]{1,12}", text):
        raise InvalidError(f"has no unit; {text}s would be right for seconds")
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise InvalidError("is no duration; write one like 30s or 1h30m")
    milliseconds = sum(int(n or 0) * unit for n, unit in zip(match.groups(), _DURATION_UNITS.values(), strict=True))
    if milliseconds > _LONGEST_MS:
        raise InvalidError("is longer than 100 years; write a duration like 30s or 1h30m")
    return milliseconds / 1000


def format_duration(seconds: float) -> str:
    """Prometheus' spelling of a duration."""
    left = round(seconds * 1000)
    parts = []
    for unit, length in _DURATION_UNITS.items():
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Bytes from 64MiB, 1MB or 1048576."""
    match = _SIZE.fullmatch(text)
    if match is None and _LONG_SIZE.fullmatch(text):
        raise InvalidError(f"is too large; at most {_DIGITS_OF_SIZE} digits may stand before the unit")
    if match is None:
        raise InvalidError("is no size; write one like 64MiB or 1MB")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def format_size(size: int) -> str:
    """The shortest exact spelling in binary units, as parse_size reads it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return f"{size}B"


def parse_integer(text: str) -> int:
    """A whole number in decimal."""
    if not re.fullmatch(r"-?[0-9]+", text):
        raise InvalidError("is no whole number")
    if len(text.lstrip("-")) > len(str(_LARGEST)):
        raise InvalidError(f"is too large; whole numbers go up to {_LARGEST}")
    return int(text)


def parse_number(text: str) -> float:
    """A decimal number such as 0.1 or 500."""
    if not re.fullmatch(r"-?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})", text):
        raise InvalidError("is no number; write one like 0.1 or 500")
    return float(text)


def parse_mark(text: str) -> int:
    """A firewall mark, decimal or hexadecimal, as nftables and ip rule show it."""
    if (
        not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}", text)
        or (mark := int(text, 0 if "x" in text.lower() else 10)) >> 32
    ):
        raise InvalidError("is no mark; write one like 0x1f or 31, below 2³²")
    return mark


def parse_switch(text: str) -> bool:
    """A boolean as YAML 1.1 writes it."""
    match text.lower():
        case "true" | "yes" | "on":
            return True
        case "false" | "no" | "off":
            return False
    raise InvalidError("is neither true nor false")


def parse_name(text: str) -> str:
    """Any text but the empty one."""
    if not text:
        raise InvalidError("is empty")
    return text


def parse_label_name(text: str) -> str:
    """A label name by Prometheus' classic rules, which is not one of the reserved ones."""
    if not _LABEL.fullmatch(text):
        proper = re.sub(r"\W", "_", text, flags=re.ASCII)
        hint = f"; {proper} would be right" if _LABEL.fullmatch(proper) and not proper.startswith("__") else ""
        raise InvalidError(f"is no label name: letters, digits and _, no digit first{hint}")
    if text.startswith("__") or text == "le":
        raise InvalidError("is a reserved label name")
    return text


def parse_header_name(text: str) -> str:
    """A header's name that is not the sender's own."""
    if not _TOKEN.fullmatch(text):
        raise InvalidError("is no header name")
    if text.lower() == "authorization":
        raise InvalidError("is set by authorization or basic_auth; use one of them")
    if _RESERVED_HEADERS.fullmatch(text):
        raise InvalidError("is a header that the sender sets itself")
    return text


def parse_header_value(text: str) -> Secret:
    """Printable ASCII, as nothing else passes every proxy."""
    if not _HEADER_VALUE.fullmatch(text):
        raise InvalidError("is no header value: printable ASCII in one line")
    return Secret(text)


def parse_token(text: str) -> str:
    """An authentication scheme such as Bearer, RFC 9110 section 11.1."""
    if not _TOKEN.fullmatch(text):
        raise InvalidError("is no authentication scheme; write one like Bearer, and the token in credentials")
    if text.lower() == "basic":
        raise InvalidError("is what basic_auth is for; use that")
    return text


def parse_secret(text: str) -> Secret:
    """Any text but the empty one."""
    return Secret(parse_name(text))


def parse_metric_pattern(text: str) -> str:
    """A metric's name, in which * stands for any letters."""
    if not _METRIC_PATTERN.fullmatch(text):
        raise InvalidError("is no metric name; write one like ss_flow_rtt_seconds or ss_flow_*")
    return text


def parse_ranking(text: str) -> str:
    """One of `RANKINGS`, or a metric of flows."""
    if text in RANKINGS or (text.startswith("ss_flow_") and _METRIC.fullmatch(text)):
        return text
    known = ", ".join(RANKINGS)
    raise InvalidError(f"is none of {known}, and no ss_flow_ metric{suggestion(text, RANKINGS)}")


def parse_path(text: str) -> Path:
    """A file's path; the walk over the document resolves it against the configuration's directory."""
    if "\0" in text:
        raise InvalidError("is no path: it holds a NUL character")
    return Path(parse_name(text))


def parse_optional_path(text: str) -> Path | None:
    """A path; the empty text is None."""
    return parse_path(text) if text else None


def choice(options: Sequence[str]) -> Kind:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in options:
            raise InvalidError(f"is none of {', '.join(options)}{suggestion(text, options)}")
        return text

    return Kind("one of " + ", ".join(f"`{option}`" for option in options), parse)


def _or_empty(value: object) -> str:
    return "" if value is None else str(value)


def _same(value: Any) -> Any:
    return value


TEXT: Final = Kind("text", str, echo=False)
NAME: Final = Kind("text", parse_name)
INTEGER: Final = Kind("number", parse_integer, _same)
NUMBER: Final = Kind("number", parse_number, _same)
SWITCH: Final = Kind("`true` or `false`", parse_switch, _same)
DURATION: Final = Kind("duration", parse_duration, format_duration)
SIZE: Final = Kind("size", parse_size, format_size)
MARK: Final = Kind("mark", parse_mark, hex)
CIDR: Final = Kind("network", parse_cidr)
PORTS: Final = Kind("port or range", parse_port_range)
HOST: Final = Kind("host name", parse_host_name)
LISTEN: Final = Kind("address", parse_listen_address, _or_empty)
LABEL: Final = Kind("label name", parse_label_name)
RANKING: Final = Kind("ranking", parse_ranking)
METRIC: Final = Kind("metric name", parse_metric_pattern)
HEADER: Final = Kind("header name", parse_header_name)
HEADER_VALUE: Final = Kind("text", parse_header_value, echo=False)
SCHEME: Final = Kind("text", parse_token, echo=False)
SECRET: Final = Kind("secret", parse_secret, echo=False)
URL: Final = Kind("URL", parse_url, echo=False)
PROXY: Final = Kind("URL", parse_proxy_url, echo=False)
FILE: Final = Kind("path", parse_path, echo=False)
SECRET_FILE: Final = Kind("path of a secret", parse_path, echo=False)
WEB_CONFIG: Final = Kind("path of a secret", parse_optional_path, _or_empty, echo=False)
DIRECTORY: Final = Kind("path", parse_optional_path, _or_empty, echo=False)

PLAIN_KINDS: Final[dict[object, Kind]] = {str: TEXT, int: INTEGER, bool: SWITCH}

Name: TypeAlias = Annotated[str, NAME]
Number: TypeAlias = Annotated[float, NUMBER]
Duration: TypeAlias = Annotated[float, DURATION]
Size: TypeAlias = Annotated[int, SIZE]
Mark: TypeAlias = Annotated[int, MARK]
Cidr: TypeAlias = Annotated[Network, CIDR]
Ports: TypeAlias = Annotated[PortRange, PORTS]
HostName: TypeAlias = Annotated[str, HOST]
Listen: TypeAlias = Annotated[ListenAddress | None, LISTEN]
LabelName: TypeAlias = Annotated[str, LABEL]
RankingName: TypeAlias = Annotated[str, RANKING]
MetricPattern: TypeAlias = Annotated[str, METRIC]
HeaderName: TypeAlias = Annotated[str, HEADER]
HeaderValue: TypeAlias = Annotated[Secret, HEADER_VALUE]
AuthScheme: TypeAlias = Annotated[str, SCHEME]
Password: TypeAlias = Annotated[Secret, SECRET]
HttpUrl: TypeAlias = Annotated[Url, URL]
ProxyUrl: TypeAlias = Annotated[Url, PROXY]
FilePath: TypeAlias = Annotated[Path, FILE]
SecretFile: TypeAlias = Annotated[Path, SECRET_FILE]
WebConfigPath: TypeAlias = Annotated[Path | None, WEB_CONFIG]
DirectoryPath: TypeAlias = Annotated[Path | None, DIRECTORY]
