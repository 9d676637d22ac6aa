"""The addresses of the hosts that filters name, asked for in the background: a tick never waits for DNS."""

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final

from ss_pusher.addresses import Address

logger = logging.getLogger(__name__)

TTL_SECONDS: Final = 60.0
"""The system's resolver does not say how long an answer holds."""


def resolve(host: str) -> frozenset[Address]:
    """All addresses of `host`; OSError or UnicodeError if there is none."""
    found = (ip_address(str(entry[4][0]).partition("%")[0]) for entry in socket.getaddrinfo(host, None))
    return frozenset((isinstance(one, IPv6Address) and one.ipv4_mapped) or one for one in found)


class Resolver:
    """Resolves `hosts` at once and every `ttl_seconds` on a thread of its own; keeps the last answer of each.

    `known` are the last answers of one before it.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        ttl_seconds: float = TTL_SECONDS,
        resolve: Callable[[str], frozenset[Address]] = resolve,
        known: Mapping[str, frozenset[Address]] = MappingProxyType({}),
    ) -> None:
        self._hosts = tuple(dict.fromkeys(hosts))
        self._ttl_seconds = ttl_seconds
        self._resolve = resolve
        answered = {host: known[host] for host in self._hosts if host in known}
        self._answers: Mapping[str, frozenset[Address]] = MappingProxyType(answered)
        self._failing: set[str] = set()
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resolver", daemon=True)

    def start(self) -> None:
        """Begin; without hosts there is nothing to do."""
        if self._hosts:
            self._thread.start()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until each host was asked for once; false if that takes longer."""
        return not self._hosts or self._asked.wait(timeout_seconds)

    def answers(self) -> Mapping[str, frozenset[Address]]:
        """The addresses of each host that was ever resolved; a picture that does not change any more."""
        return self._answers

    def close(self) -> None:
        """Ask no more. A question under way cannot be taken back; its thread ends with it, or with the process."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            for host in self._hosts:
                self._ask(host)
            self._asked.set()
            self._stopped.wait(self._ttl_seconds)

    def _ask(self, host: str) -> None:
        try:
            found = self._resolve(host)
        except (OSError, UnicodeError) as error:
            if host not in self._failing:
                logger.warning("host %s of a filter cannot be resolved: %s; its last addresses stand", host, error)
            self._failing.add(host)
            return
        if host in self._failing:
            logger.info("host %s of a filter is resolved again", host)
            self._failing.remove(host)
        self._answers = MappingProxyType({**self._answers, host: found})
