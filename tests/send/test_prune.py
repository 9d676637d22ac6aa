"""Pruning a real Pushgateway."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ss_pusher.send.exchange import Call
from ss_pusher.send.http import Client
from ss_pusher.send.prune import Pruned, prune
from ss_pusher.send.pushgateway import group_url
from ss_pusher.send.session import HttpSettings
from tests import servers
from tests.send.scripted import reply, scripted

LONG = 20.0
HOUR = 3600.0


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client(HttpSettings())
    yield client
    client.close()


def pruned(
    client: Client, url: str, *, later: float = 2 * HOUR, job: str | None = None, dry_run: bool = False
) -> Pruned:
    """Groups older than an hour, as seen `later` than now."""
    return prune(
        client,
        url,
        older_than=HOUR,
        job=job,
        dry_run=dry_run,
        deadline=lambda: time.monotonic() + LONG,
        now=lambda: time.time() + later,
    )


def fill(client: Client, url: str, *groups: dict[str, str]) -> None:
    for group in groups:
        others = {name: value for name, value in group.items() if name != "job"}
        client.send(Call("PUT", group_url(url, group["job"], others), body=b"m 1\n"), time.monotonic() + LONG)


def remaining(pushgateway: servers.Pushgateway) -> list[dict[str, str]]:
    return sorted((group["labels"] for group in pushgateway.groups()), key=json.dumps)


GROUPS = [{"job": "a"}, {"job": "a", "instance": "x/y", "zone": "", "run": "ü +"}, {"job": "b/c", "instance": "h"}]


def test_old_groups_are_deleted_whatever_their_labels(pushgateway: servers.Pushgateway, client: Client) -> None:
    fill(client, pushgateway.url, *GROUPS)
    result = pruned(client, pushgateway.url + "/")

    assert result.problem == ""
    assert {frozenset(group.labels.items()) for group in result.groups} == {frozenset(g.items()) for g in GROUPS}
    assert remaining(pushgateway) == []


def test_young_groups_stay(pushgateway: servers.Pushgateway, client: Client) -> None:
    fill(client, pushgateway.url, *GROUPS)

    assert pruned(client, pushgateway.url, later=HOUR / 2) == Pruned(())
    assert len(remaining(pushgateway)) == 3


def test_a_group_whose_last_push_was_refused_is_still_somebodys(
    pushgateway: servers.Pushgateway, client: Client
) -> None:
    client.send(Call("PUT", group_url(pushgateway.url, "a", {}), body=b"m 1 1000\n"), time.monotonic() + LONG)
    assert len(remaining(pushgateway)) == 1

    assert pruned(client, pushgateway.url, later=0) == Pruned(())


def test_only_groups_of_the_job_are_deleted(pushgateway: servers.Pushgateway, client: Client) -> None:
    fill(client, pushgateway.url, *GROUPS)
    pruned(client, pushgateway.url, job="a")

    assert remaining(pushgateway) == [{"job": "b/c", "instance": "h"}]


def test_a_dry_run_only_tells(pushgateway: servers.Pushgateway, client: Client) -> None:
    fill(client, pushgateway.url, *GROUPS)

    assert len(pruned(client, pushgateway.url, dry_run=True).groups) == 3
    assert len(remaining(pushgateway)) == 3


def listing(*groups: Any) -> bytes:
    return json.dumps({"status": "success", "data": groups}).encode()


def a_group(**labels: str) -> dict[str, Any]:
    return {"labels": labels, "push_time_seconds": {"metrics": [{"labels": {}, "value": "1e9"}]}}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data": 3}',
        b'{"data": [{}]}',
        b"[" * 100_000,
        listing({"labels": {"job": "a"}}),
        listing(a_group(instance="no job")),
    ],
)
def test_what_is_not_a_pushgateway_deletes_nothing(client: Client, answer: bytes) -> None:
    with scripted(reply(200, answer)) as server:
        result = pruned(client, server.url)

    assert result.groups == ()
    assert "not a Pushgateway's" in result.problem
    assert len(server.requests) == 1


def test_a_refusal_ends_it_and_tells_what_was_deleted_before(client: Client) -> None:
    answers = [reply(200, listing(a_group(job="a"), a_group(job="b"))), reply(202), reply(403, b"read-only")]
    with scripted(*answers) as server:
        result = pruned(client, server.url)

    assert [group.labels["job"] for group in result.groups] == ["a"]
    assert result.problem == "403 Forbidden: read-only"


def test_a_gateway_that_is_down_is_a_problem(client: Client) -> None:
    assert "Connection refused" in pruned(client, "http://127.0.0.1:1").problem
