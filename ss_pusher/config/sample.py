"""config.sample.yml, made from the schema."""

from textwrap import wrap
from typing import Any, Final, get_origin

from ss_pusher.config.describe import Key, flow, item, keys
from ss_pusher.config.endpoint import Endpoint
from ss_pusher.config.schema import Config
from ss_pusher.config.section import Section, is_section

_WIDTH: Final = 100
_SINK: Final = "remote_write"
"""The sink that the sample uses; the others stand in it as comments."""

_HEAD: Final = """\
# Configuration of ss-pusher. It works as it stands with a Prometheus on this host that was started with
# --web.enable-remote-write-receiver, or with `ss-pusher receive --listen 127.0.0.1:9090`.
#
# Every key stands here with its default, except remote_write, which has none. A line with # and no space
# after it shows what else may be written. All keys and how values are written: docs/configuration.md
#
# ${VAR} and ${VAR:-default} are replaced in values; $$ is a dollar. Before a reload:
# ss-pusher check-config FILE
"""


def sample() -> str:
    """The whole file's text."""
    blocks = ["\n".join(_entry(key)) for key in keys(Config)]
    return "\n\n".join([_HEAD.rstrip("\n"), *blocks]) + "\n"


def _entry(key: Key) -> list[str]:
    """The lines of one key with its comment; none for a key that has nothing to show."""
    lines = _body(key)
    return [*_comment(key.description), *lines] if lines else []


def _body(key: Key) -> list[str]:
    base = key.form.base
    if get_origin(base) is tuple and is_section(item(base)) and issubclass(item(base), Endpoint):
        block = [f"{key.name}:", *_indented(_list_item(item(base), shared=key.name == _SINK))]
        return block if key.name == _SINK else _disabled(block)
    if is_section(base) and key.default is not None and key.example is None:
        return [f"{key.name}:", *_indented(_entries(base))]
    if key.example is not None:
        written = _written(key.name, key.example)
        return written if key.required else _disabled(written)
    return [] if key.default is None or key.default in ([], {}) else _written(key.name, key.default)


def _entries(section: type[Section]) -> list[str]:
    return [line for key in keys(section) for line in _entry(key)]


def _list_item(endpoint: type[Endpoint], *, shared: bool) -> list[str]:
    """One element of a list of endpoints; what all kinds of them share is shown once."""
    common = [key.name for key in keys(Endpoint)]
    first, *rest = (key for key in keys(endpoint) if shared or key.name not in common)
    lines = [line for key in rest for line in _entry(key)]
    if not shared:
        lines += _comment(f"The keys {', '.join(common)} are those of {_SINK}.")
    return [*_comment(first.description), f"- {_body(first)[0]}", *_indented(lines)]


def _written(name: str, value: Any) -> list[str]:
    if isinstance(value, list) and isinstance(value[0], dict):
        return [f"{name}:", *(f"  - {_short(member)}" for member in value)]
    return [f"{name}: {flow(value)}"]


def _short(member: dict[str, Any]) -> str:
    """A mapping of one key needs no braces."""
    return flow(member) if len(member) > 1 else "".join(f"{key}: {flow(value)}" for key, value in member.items())


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _WIDTH)]


def _disabled(lines: list[str]) -> list[str]:
    return [f"#{line}" for line in lines]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
