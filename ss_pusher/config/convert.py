"""A tree of YAML nodes against the declared types: everything that is wrong is found in one walk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin

import yaml
from msgspec import NODEFAULT, Meta
from msgspec.structs import FieldInfo, fields

from ss_pusher.config.expand import expand
from ss_pusher.config.invalid import InvalidError, suggestion
from ss_pusher.config.section import Check, Section, Steps, is_section, shape
from ss_pusher.config.values import SECRET, TEXT, Kind
from ss_pusher.errors import ConfigError

MAX_VALUES: Final = 100_000
_FAILED: Final = object()
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value"))
_SHOWN: Final = 60

_S = TypeVar("_S", bound=Section)


class Remark(NamedTuple):
    """Something to say about a place in the file."""

    line: int
    steps: Steps
    text: str


class Written(NamedTuple):
    """A single value: where and how it was written, and what it means."""

    steps: Steps
    kind: Kind
    raw: str
    value: Any


@dataclass(slots=True)
class Walk:
    """What one walk needs and finds. `name` is how errors call the file; paths are relative to `directory`.

    Without `variables` nothing is expanded: a file of Prometheus means what it says.
    """

    name: str
    directory: Path
    variables: Mapping[str, str] | None
    problems: list[Remark] = field(default_factory=list)
    warnings: list[Remark] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    lines: dict[Steps, int] = field(default_factory=dict)
    parts: dict[Steps, object] = field(default_factory=dict)
    right: dict[Steps, dict[int, object]] = field(default_factory=dict)
    """Of each list that has a wrong element, the others by their position."""
    values: int = 0

    def problem(self, steps: Steps, text: str, line: int = 0) -> None:
        """Note what is wrong at a place; without a line, its own or that of what holds it."""
        self.problems.append(Remark(line or self._line(steps), steps, text))

    def warning(self, steps: Steps, text: str) -> None:
        """Note what is allowed and yet unlikely to be meant."""
        self.warnings.append(Remark(self._line(steps), steps, text))

    def _line(self, steps: Steps) -> int:
        """The line of a place, or of the last one on the way to it that stands in the file."""
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return self.lines.get(steps, 1)


def convert(root: yaml.MappingNode, wanted: type[_S], walk: Walk) -> _S | None:
    """The section that `root` describes, or None when a value is wrong; `walk` then knows which and why.

    The section means nothing while `walk` has problems: an unknown key does not keep it from being built. Raises
    ConfigError when aliases make more values of the file than a configuration can have.
    """
    section = _value(root, wanted, (), root.start_mark.line + 1, walk)
    return section if isinstance(section, wanted) else None


def _value(node: yaml.Node, wanted: Any, steps: Steps, line: int, walk: Walk) -> object:
    walk.values += 1
    if walk.values > MAX_VALUES:
        raise ConfigError([f"{walk.name}:{line}: aliases make more than {MAX_VALUES} values of this file"])
    walk.lines[steps] = line
    form = shape(wanted)
    if node.tag == _TAG + "null":
        return _fail(steps, "has no value; give it one, or remove it", walk)
    if form.kind is not None:
        value = _scalar(node, form.kind, steps, walk)
    elif is_section(form.base):
        value = _section(node, form.base, steps, walk)
    elif get_origin(form.base) is tuple:
        value = _sequence(node, form.base, steps, walk)
    else:
        value = _mapping(node, form.base, steps, walk)
    return value if value is _FAILED else _limited(value, form.kind, form.metas, steps, walk)


def _fail(steps: Steps, text: str, walk: Walk) -> object:
    walk.problem(steps, text)
    return _FAILED


def _scalar(node: yaml.Node, kind: Kind, steps: Steps, walk: Walk) -> object:
    """Quotes and YAML's own types do not matter: what is written is what is parsed, so that 010 and no stay texts."""
    if not isinstance(node, yaml.ScalarNode):
        return _fail(steps, f"expects a single value ({kind.noun}), not {_name(node)}", walk)
    if node.tag not in _SCALARS:
        return _fail(steps, "has a tag; write the value without it", walk)
    try:
        text = node.value if walk.variables is None else expand(node.value, walk.variables)
    except InvalidError as error:
        return _fail(steps, str(error), walk)
    try:
        value = kind.parse(text)
    except InvalidError as error:
        shown = f"{_shown(node.value)} " if kind.echo else ""
        return _fail(steps, f"{shown}{error}", walk)
    if isinstance(value, Path):
        value = walk.directory / value
    walk.written.append(Written(steps, kind, node.value, value))
    return value


def _limited(value: Any, kind: Kind | None, metas: tuple[Meta, ...], steps: Steps, walk: Walk) -> object:
    for meta in metas:
        if meta.min_length and len(value) < meta.min_length:
            return _fail(steps, "is an empty list; name at least one, or remove it", walk)
        if kind is None:
            continue
        if meta.gt is not None and not value > meta.gt:
            return _fail(steps, f"must be more than {kind.plain(meta.gt)}", walk)
        if meta.ge is not None and not value >= meta.ge:
            return _fail(steps, f"must be at least {kind.plain(meta.ge)}", walk)
        if meta.le is not None and not value <= meta.le:
            return _fail(steps, f"must be at most {kind.plain(meta.le)}", walk)
    return value


def _sequence(node: yaml.Node, base: Any, steps: Steps, walk: Walk) -> object:
    if not _is_plain(node, yaml.SequenceNode, "seq"):
        return _fail(steps, f"expects a list, not {_name(node)}", walk)
    item = get_args(base)[0]
    values = tuple(
        _value(child, item, (*steps, position), child.start_mark.line + 1, walk)
        for position, child in enumerate(node.value)
    )
    if _FAILED not in values:
        return values
    walk.right[steps] = {position: value for position, value in enumerate(values) if value is not _FAILED}
    return _FAILED


def _mapping(node: yaml.Node, base: Any, steps: Steps, walk: Walk) -> object:
    if not _is_plain(node, yaml.MappingNode, "map"):
        return _fail(steps, f"expects a mapping, not {_name(node)}", walk)
    key_kind, item = shape(get_args(base)[0]).kind or TEXT, get_args(base)[1]
    values: dict[str, object] = {}
    for key, line, child in _entries(node, steps, walk):
        if key in values:
            _repeated(key, steps, line, walk)
            continue
        values[key] = _value(child, item, (*steps, key), line, walk)
        try:
            key_kind.parse(key)
        except InvalidError as error:
            values[key] = _fail((*steps, key), str(error), walk)
    # The checks between keys are asked about the right entries, so that they need not wait for the wrong ones.
    walk.parts[steps] = {key: value for key, value in values.items() if value is not _FAILED}
    return _FAILED if _FAILED in values.values() else values


def _section(node: yaml.Node, wanted: type[Section], steps: Steps, walk: Walk) -> object:
    if not _is_plain(node, yaml.MappingNode, "map"):
        return _fail(steps, f"expects a mapping, not {_name(node)}", walk)
    declared = {info.name: info for info in fields(wanted)}
    values: dict[str, object] = {}
    for key, line, child in _entries(node, steps, walk):
        if key not in declared:
            _unknown(key, wanted, steps, line, walk)
        elif key in values:
            _repeated(key, steps, line, walk)
        else:
            values[key] = _value(child, declared[key].type, (*steps, key), line, walk)
    for info in declared.values():
        if info.name not in values:
            values[info.name] = _default(info, steps, walk)
    walk.parts.update({(*steps, key): value for key, value in values.items() if value is not _FAILED})
    for check in wanted.checks:
        for below, text in _check(check, steps, walk):
            walk.problem((*steps, *below), text)
    return _FAILED if _FAILED in values.values() else wanted(**values)


def _check(check: Check, steps: Steps, walk: Walk) -> Iterator[tuple[Steps, str]]:
    asked = [_part(key.split("."), steps, walk) for key in check.keys]
    if _FAILED not in asked:
        yield from check.find(*asked)
    elif len(asked) == 1 and (right := walk.right.get((*steps, *check.keys))):
        positions = [*right]
        for (key, *below), text in check.find(tuple(right.values())):
            yield (key, *(positions[step] if isinstance(step, int) else step for step in below)), text


def _part(way: Sequence[str], steps: Steps, walk: Walk) -> object:
    """A value of the section at `steps`, or one below it, even where its neighbours failed."""
    value = walk.parts.get((*steps, *way), _FAILED)
    if value is not _FAILED or len(way) == 1:
        return value
    above = _part(way[:-1], steps, walk)  # a section left out has its values by default
    return _FAILED if above is _FAILED else getattr(above, way[-1])


def _default(info: FieldInfo, steps: Steps, walk: Walk) -> object:
    if info.required:
        return _fail(steps, f"lacks {info.name}", walk)
    return info.default if info.default_factory is NODEFAULT else info.default_factory()


def _unknown(key: str, wanted: type[Section], steps: Steps, line: int, walk: Walk) -> None:
    known = [info.name for info in fields(wanted)]
    if key in wanted.without_effect:
        walk.lines[*steps, key] = line
        walk.warning((*steps, key), f"has no effect here: {wanted.without_effect[key]}")
    elif key in wanted.refused:
        walk.problem((*steps, key), f"is not taken: {wanted.refused[key]}", line)
    elif hint := suggestion(key, known):
        walk.problem((*steps, key), f"unknown key{hint}", line)
    elif any(shape(info.type).kind is SECRET for info in fields(wanted)):
        # A password that lost its own key stands where a key is expected.
        walk.problem(steps, f"holds an unknown key; it takes {', '.join(known)}", line)
    else:
        walk.problem((*steps, key), f"unknown key; here may stand {', '.join(known)}", line)


def _repeated(key: str, steps: Steps, line: int, walk: Walk) -> None:
    walk.problem((*steps, key), f"stands in line {walk.lines[*steps, key]} already", line)


def _entries(node: yaml.Node, steps: Steps, walk: Walk) -> Iterator[tuple[str, int, yaml.Node]]:
    """Key, line and value of each entry of a mapping; keys that are no plain text become problems."""
    for key, value in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.tag in _SCALARS:
            yield key.value, line, value
        else:
            walk.problem(steps, "has a key that is no plain text", line)


def _is_plain(node: yaml.Node, kind: type[yaml.Node], tag: str) -> bool:
    return isinstance(node, kind) and node.tag == _TAG + tag


def _name(node: yaml.Node) -> str:
    if node.tag not in _SCALARS and node.tag not in (_TAG + "seq", _TAG + "map"):
        return "a value with a tag"
    if isinstance(node, yaml.ScalarNode):
        return "a single value"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
