"""Host names of filters."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest

from ss_pusher.addresses import Address
from ss_pusher.attribute.resolver import Resolver, resolve
from tests.waiting import wait_for


@contextmanager
def running(resolver: Resolver) -> Iterator[Resolver]:
    resolver.start()
    try:
        yield resolver
    finally:
        resolver.close()


def addresses(*texts: str) -> frozenset[Address]:
    return frozenset(map(ip_address, texts))


def test_the_hosts_file_is_asked() -> None:
    with running(Resolver(["localhost"])) as resolver:
        assert resolver.wait(10)
        assert ip_address("127.0.0.1") in resolver.answers()["localhost"]


def test_addresses_are_taken_as_they_are_without_zone_and_mapping() -> None:
    assert resolve("192.0.2.1") == addresses("192.0.2.1")
    assert resolve("::ffff:192.0.2.1") == addresses("192.0.2.1")
    assert resolve("fe80::1%lo") == addresses("fe80::1")


def test_a_name_is_asked_for_again_and_a_failure_keeps_the_last_answer(caplog: pytest.LogCaptureFixture) -> None:
    failure = OSError("no route")
    script: list[frozenset[Address] | OSError] = [addresses("192.0.2.1"), failure, failure, addresses("192.0.2.2")]
    answers = iter(script)
    seen = []
    third = threading.Event()

    def scripted(_host: str) -> frozenset[Address]:
        seen.append(resolver.answers())
        answer = next(answers, None)
        if answer is None:
            third.set()
            answer = addresses("192.0.2.2")
        if isinstance(answer, OSError):
            raise answer
        return answer

    resolver = Resolver(["db.example"], ttl_seconds=0, resolve=scripted)
    with caplog.at_level(logging.WARNING), running(resolver):
        assert third.wait(10)
    first = {"db.example": addresses("192.0.2.1")}
    assert seen[:5] == [{}, first, first, first, {"db.example": addresses("192.0.2.2")}]
    assert caplog.text.count("no route") == 1


def test_a_name_that_cannot_be_one_is_a_failure_like_any_other() -> None:
    with running(Resolver(["a" * 64 + ".example", "localhost"])) as resolver:
        assert resolver.wait(10)
        assert list(resolver.answers()) == ["localhost"]


def test_a_slow_answer_holds_up_nobody() -> None:
    release = threading.Event()

    def slow(_host: str) -> frozenset[Address]:
        release.wait(10)
        return addresses("192.0.2.1")

    with running(Resolver(["db.example"], resolve=slow)) as resolver:
        assert not resolver.wait(0)
        assert resolver.answers() == {}
        release.set()
        wait_for(resolver.answers, "the slow answer came")


def test_without_hosts_there_is_no_thread_and_no_wait() -> None:
    before = set(threading.enumerate())
    with running(Resolver([])) as resolver:
        assert resolver.wait(0)
        assert set(threading.enumerate()) <= before


def test_a_closed_resolver_ends_its_thread() -> None:
    resolver = Resolver(["localhost"])
    with running(resolver):
        assert resolver.wait(10)
    wait_for(lambda: "resolver" not in {thread.name for thread in threading.enumerate()}, "its thread ended")


def test_the_last_answers_of_the_resolver_before_stand_until_there_are_others() -> None:
    def failing(_host: str) -> frozenset[Address]:
        raise OSError("no route")

    known = {"db.example": addresses("192.0.2.1"), "unwanted.example": addresses("192.0.2.2")}
    with running(Resolver(["db.example", "new.example"], resolve=failing, known=known)) as resolver:
        assert resolver.wait(10)
        assert resolver.answers() == {"db.example": addresses("192.0.2.1")}
