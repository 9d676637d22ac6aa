"""Deletes groups that nobody pushes any more: a Pushgateway never forgets one by itself."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ss_pusher.model import Protocol
from ss_pusher.send.exchange import Answer, Call
from ss_pusher.send.http import Client
from ss_pusher.send.pushgateway import group_url
from ss_pusher.send.verdict import Accepted, judge

_MAX_LISTING: Final = 256 << 20
_TIMES: Final = ("push_time_seconds", "push_failure_time_seconds")


@dataclass(frozen=True, slots=True)
class Group:
    """A group on the gateway. `pushed_at` is when somebody last pushed to it, accepted or not, in Unix seconds."""

    labels: Mapping[str, str]
    pushed_at: float


@dataclass(frozen=True, slots=True)
class Pruned:
    """The groups that were deleted (or would be), and why it stopped, if it did."""

    groups: tuple[Group, ...]
    problem: str = ""


def prune(
    client: Client,
    url: str,
    *,
    older_than: float,
    job: str | None,
    dry_run: bool,
    deadline: Callable[[], float],
    now: Callable[[], float],
) -> Pruned:
    """Delete from the gateway at `url` the groups to which nobody pushed for `older_than` seconds.

    With `job` only those of that job. A group to which somebody pushes at this very moment may go with them, until
    its next push. `deadline` gives the next request's (monotonic).
    """
    answer = client.send(Call("GET", f"{url.rstrip('/')}/api/v1/metrics"), deadline(), _MAX_LISTING)
    verdict = judge(Protocol.TEXT, answer, now())
    if not isinstance(answer, Answer) or not isinstance(verdict, Accepted):
        return Pruned((), _words(verdict))
    try:
        groups = [_group(entry) for entry in json.loads(answer.body)["data"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Pruned((), f"the listing at /api/v1/metrics is not a Pushgateway's: {error!r}")
    old = [g for g in groups if g.pushed_at < now() - older_than and job in (None, g.labels["job"])]
    for index, group in enumerate([] if dry_run else old):
        others = {name: value for name, value in group.labels.items() if name != "job"}
        call = Call("DELETE", group_url(url, group.labels["job"], others))
        verdict = judge(Protocol.TEXT, client.send(call, deadline()), now())
        if not isinstance(verdict, Accepted):
            return Pruned(tuple(old[:index]), _words(verdict))
    return Pruned(tuple(old))


def _group(entry: Any) -> Group:
    labels = {str(name): str(value) for name, value in entry["labels"].items()}
    times = [float(entry[name]["metrics"][0]["value"]) for name in _TIMES if name in entry]
    if "job" not in labels or not times:
        raise ValueError("a group without job or time of push")
    return Group(labels, max(times))


def _words(verdict: object) -> str:
    return str(getattr(verdict, "words", verdict))
