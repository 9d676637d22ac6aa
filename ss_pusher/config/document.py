"""Bytes to a tree of YAML nodes, which know their lines. No file can exhaust memory or the stack."""

import re
from typing import Any, Final

import yaml

from ss_pusher.errors import ConfigError

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML can be built without libyaml
# PyYAML without libyaml quotes pieces of the file in its messages, which may be pieces of a secret.
_QUOTED: Final = re.compile(r" ?(['\"])[^'\" ][^'\"]+\1")


def compose(data: bytes, name: str, *, may_be_empty: bool = False) -> yaml.MappingNode:
    """The document's root. `name` is how errors call the file. Raises ConfigError.

    `may_be_empty`: what holds nothing is a mapping without keys, as Prometheus takes its web configuration file.
    """
    text = _decode(data, name)
    try:
        _check_shape(text, name)
        root = yaml.compose(text, _LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1"
        problem = _QUOTED.sub("", error.problem or error.context or "it cannot be parsed")
        raise ConfigError([f"{name}:{place}: is no valid YAML: {problem}"]) from None
    except yaml.reader.ReaderError as error:
        line = data.count(b"\n", 0, error.position) + 1
        raise ConfigError([f"{name}:{line}: holds a character that YAML does not allow: {error.reason}"]) from None
    if root is None or root.tag == "tag:yaml.org,2002:null":
        if may_be_empty:
            start = yaml.Mark(name, 0, 0, 0, None, 0)
            return yaml.MappingNode("tag:yaml.org,2002:map", [], start, start)
        raise ConfigError([f"{name}: is empty; `ss-pusher sample-config` prints a configuration to begin with"])
    if not isinstance(root, yaml.MappingNode):
        like = "" if may_be_empty else ", like `interval: 15s`"
        raise ConfigError([f"{name}:{root.start_mark.line + 1}: expects keys with values{like}"])
    return root


def has_key(root: yaml.MappingNode, name: str) -> bool:
    """Whether this key stands at the left margin."""
    return any(key.value == name for key, _ in root.value)


def _decode(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{name}: is larger than 1 MiB, which no configuration is"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{name}:{line}: is not UTF-8 text (byte 0x{data[error.start]:02x})"]) from None


def _check_shape(text: str, name: str) -> None:
    """Refuse what the recursive composer could not survive, by the events that come before it."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError([f"{name}:{line}: is nested deeper than {MAX_DEPTH} levels"])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and re.search("[\ud800-\udfff]", event.value):
            raise ConfigError([f"{name}:{line}: holds half of a surrogate pair, which is no character"])
