"""docs/configuration.md, made from the schema."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, get_args, get_origin

from ss_pusher.config.describe import Key, flow, item, keys
from ss_pusher.config.schema import Config
from ss_pusher.config.section import Section, Shape, is_section, shape

_HEAD: Final = """\
# Configuration

Every key of the YAML file that `--config` names. `ss-pusher sample-config` prints a file to begin with, and
`ss-pusher check-config FILE` names every mistake in one, with its line where it has one. Unknown and repeated keys are
mistakes. Once all keys and values are right, it looks at limits, endpoints and the web configuration, and names every
mistake there.

This page is made from the schema in `ss_pusher/config/`, by `make docs`.

## How values are written

| value | written as |
|---|---|
| duration | `15s`, `1h30m`, `500ms`, as in Prometheus: whole numbers of y, w, d, h, m, s, ms, in this order |
| size | `64MiB`, `1MB`, `512`: bytes, with KB, MB, GB in thousands and KiB, MiB, GiB in 1024s |
| network | `10.0.0.0/8`, `fd00::/8`; an address alone is a network of one |
| port or range | `443`, `8000-8999` |
| address | `127.0.0.1:8090`, `[::1]:8090`; `:8090` is every address of this host |
| mark | `31`, `0x1f` |
| path | a file; a relative one begins in the directory of the configuration file |
| path of a secret | the same; there is a warning when every user of the host may read or replace the file |
| secret | text that no log and no error shows; better in a file of its own, by the key that ends in `_file` |

A secret in a configuration that every user of the host may read is warned of with its line. Headers, and parameters in
a URL, count as secrets when their name holds auth, cookie, key, password, secret or token.

Quotes do not matter: `no` and `010` are the texts they look like where a text is expected.

`${VAR}` and `${VAR:-default}` are replaced by the environment's variable in every value, also in those of lists and
mappings. Keys are taken as they stand, and so are the files that values name. The default also stands in for an empty
variable. One that is not set and has no default is a mistake. `$$` is a dollar.

| variable | is |
|---|---|
| `HOSTNAME` | always there: the environment's, or else this host's name as the kernel has it |
| `STATE_DIRECTORY` | in the systemd units: the unit's own directory below `/var/lib`, for `spool.directory` |
| `CREDENTIALS_DIRECTORY` | in the systemd units: where the unit's secrets are, for the keys that end in `_file` |
| any other | what the environment has; in a unit what a drop-in sets with `Environment=` |

The variables of the units are explained in [service.md](service.md).
"""


def reference() -> str:
    """The whole page's text."""
    headings = _headings()
    chapters = ("\n".join(_chapter(section, headings)) + "\n" for section in headings)
    return "\n".join([_HEAD, *chapters])


def _headings() -> dict[type[Section], str]:
    """Each section once, in the order in which the keys lead to it."""
    headings: dict[type[Section], str] = {Config: "Top level"}

    def descend(section: type[Section], way: str) -> None:
        for key in keys(section):
            below, brackets = _below(key.form)
            if below is not None and below not in headings:
                headings[below] = f"{way}{key.name}{brackets}"
                descend(below, f"{headings[below]}.")

    descend(Config, "")
    return headings


def _below(form: Shape) -> tuple[type[Section] | None, str]:
    """The section that a key holds, or a list of, and then brackets."""
    listed = get_origin(form.base) is tuple
    base = item(form.base) if listed else form.base
    return (base if is_section(base) else None), ("[]" if listed else "")


def _chapter(section: type[Section], headings: Mapping[type[Section], str]) -> Iterator[str]:
    yield f"## {headings[section]}\n"
    yield f"{' '.join((section.__doc__ or '').split())}\n"
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key in keys(section):
        yield f"| `{key.name}` | {_value(key.form, headings)} | {_default(key)} | {key.description} |"
    if section.without_effect:
        yield f"\nTaken from Prometheus' blocks without effect: {_because(section.without_effect)}"
    if section.refused:
        yield f"\nNot taken, since leaving them out would change what is sent: {_because(section.refused)}"


def _because(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"`{key}` ({reason})" for key, reason in sorted(reasons.items())) + "."


def _value(form: Shape, headings: Mapping[type[Section], str]) -> str:
    if form.kind is not None:
        return form.kind.noun + _limits(form)
    if is_section(form.base):
        return f"[section](#{_anchor(headings[form.base])})"
    parts = [_value(shape(part), headings) for part in get_args(form.base) if part is not Ellipsis]
    return f"{'list' if len(parts) == 1 else 'mapping'}: {' → '.join(parts)}"


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _limits(form: Shape) -> str:
    limits = []
    written = form.kind.plain if form.kind else str
    for meta in form.metas:
        limits += [f"more than {meta.gt}"] if meta.gt is not None else []
        limits += [f"at least {written(meta.ge)}"] if meta.ge is not None else []
        limits += [f"at most {written(meta.le)}"] if meta.le is not None else []
    return "".join(f", {limit}" for limit in limits)


def _default(key: Key) -> str:
    if key.required:
        return "required"
    if is_section(key.form.base) or key.default is None or key.default in ([], {}, ""):
        return ""
    return f"`{flow(key.default)}`"
