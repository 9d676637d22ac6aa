"""What the sample and the reference need to know of a key."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin

import yaml
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields

from ss_pusher.config.section import Section, Shape, is_section, shape
from ss_pusher.config.values import DIRECTORY, LISTEN, WEB_CONFIG


class Key(NamedTuple):
    """One key of a section. `default` and `example` are plain values as YAML has them; None: there is none."""

    name: str
    description: str
    required: bool
    default: Any
    example: Any
    form: Shape


def keys(section: type[Section]) -> Iterator[Key]:
    """The keys of a section, the required ones first."""
    for info in sorted(fields(section), key=lambda info: not info.required):
        form = shape(info.type)
        yield Key(
            name=info.name,
            description=" ".join(meta.description for meta in form.metas if meta.description),
            required=info.required,
            default=_default(info, form),
            example=next((meta.examples[0] for meta in form.metas if meta.examples), None),
            form=form,
        )


def flow(value: Any) -> str:
    """A plain value in one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def item(base: Any) -> Any:
    """The type of a list's elements, or of a mapping's values."""
    return get_args(base)[0] if get_origin(base) is tuple else get_args(base)[1]


def _default(info: FieldInfo, form: Shape) -> Any:
    written = [meta.extra["default"] for meta in form.metas if meta.extra and "default" in meta.extra]
    if written:
        return written[0]  # the real one depends on the host
    default = info.default if info.default_factory is NODEFAULT else info.default_factory()
    if default is NODEFAULT or (default is None and form.kind not in (LISTEN, DIRECTORY, WEB_CONFIG)):
        return None
    return plain(info.type, default)


def plain(wanted: Any, value: Any) -> Any:
    """A value of the configuration as YAML would write it."""
    form = shape(wanted)
    if form.kind is not None:
        return form.kind.plain(value)
    if is_section(form.base):
        return {info.name: plain(info.type, getattr(value, info.name)) for info in fields(form.base)}
    if isinstance(value, Mapping):
        return {key: plain(item(form.base), member) for key, member in value.items()}
    return [plain(item(form.base), member) for member in value]
