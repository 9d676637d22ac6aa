"""The endpoints of a configuration, each with its queue, its connection and its thread."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from ss_pusher.app import late
from ss_pusher.app.endpoints import Encoder, Endpoint, GroupEncoder, PushgatewayEndpoint, RemoteWriteEndpoint
from ss_pusher.app.expose import make_expose
from ss_pusher.app.http_client import bare_url, make_client
from ss_pusher.app.memory import queue_room
from ss_pusher.clock import PATIENCE_MS, Clock, PatientClock
from ss_pusher.clock_sync import synchronised
from ss_pusher.config import Config
from ss_pusher.config import Pushgateway as PushgatewaySection
from ss_pusher.config import RemoteWrite as RemoteWriteSection
from ss_pusher.encode.remote_write_v1 import RemoteWriteV1Encoder
from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.errors import SpoolError, SpoolInUseError
from ss_pusher.model import Block, Protocol, Request
from ss_pusher.queue.directory import deposit
from ss_pusher.queue.memory import TOO_OLD, MemoryQueue, Room
from ss_pusher.queue.spool import Spool
from ss_pusher.send.age_log import AgeLog
from ss_pusher.send.clock_comparison import ClockComparison
from ss_pusher.send.dispatch import Limits, Reshape
from ss_pusher.send.pushgateway import FormatChoice, Method, Pushgateway, group_url
from ss_pusher.send.remote_write import ProtocolChoice, RemoteWrite
from ss_pusher.send.verdict import Accepted
from ss_pusher.send.worker import Worker
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)

_PROTOCOLS: Final = {
    "auto": None,
    "prometheus.WriteRequest": Protocol.REMOTE_WRITE_1,
    "io.prometheus.write.v2.Request": Protocol.REMOTE_WRITE_2,
}


class Wanted(NamedTuple):
    """An endpoint that a configuration asks for, not made yet."""

    same: object
    """Equal for two that are the same: then one that runs may go on."""
    holds: frozenset[object]
    """What only one at a time can have: its spool's directory, its address, or the ear of its receiver, where the last
    words of one must come before the first of the next."""
    make: Callable[[], Endpoint]
    """Raises SpoolError, and ConfigError for a file that it names."""


def wanted_endpoints(
    config: Config,
    clock: Clock,
    telemetry: Telemetry,
    *,
    stale_on_exit: bool,
    lasts: Callable[[Block], bool] = lambda _: False,
    method: Callable[[], Method] = lambda: "PUT",
    beside: bool = False,
    room: Room | None = None,
) -> Iterator[Wanted]:
    """All of them; the arguments are those of `make_endpoints`. `room` is the memory that their queues share."""
    make = _Sinks(
        config, clock, telemetry, stale_on_exit=stale_on_exit, lasts=lasts, method=method, beside=beside, room=room
    )
    names = _names(config)
    common = (config.external_labels, config.spool)
    for section in config.remote_write:
        name = next(names)
        spool = {(config.spool.directory, name)} if config.spool.directory else set()
        yield Wanted(
            (name, section, common),
            frozenset({bare_url(section.url), *spool}),
            partial(make.remote_write, name, section),
        )
    for gateway in config.pushgateway:
        name = next(names)
        receiver = frozenset({bare_url(gateway.url)})
        yield Wanted((name, gateway, common), receiver, partial(make.pushgateway, name, gateway))
    address = config.expose.listen_address
    if address:
        shown = (config.expose, config.external_labels, config.interval)
        yield Wanted(shown, frozenset({address}), partial(make_expose, config, address, clock))


def make_endpoints(
    config: Config,
    clock: Clock,
    telemetry: Telemetry,
    *,
    stale_on_exit: bool,
    lasts: Callable[[Block], bool] = lambda _: False,
    method: Callable[[], Method] = lambda: "PUT",
    beside: bool = False,
) -> list[Endpoint]:
    """All of them, not yet started. `stale_on_exit` is what holds where the configuration does not say.

    `lasts` says which series do not end with the command, `method` how the next push to a Pushgateway goes. `beside`
    is for a command that may run beside an agent: it leaves what it cannot send to the agent that has the spool, and
    goes on without a spool that it cannot use.

    Raises:
        SpoolError: unless `beside`, the spool cannot be used, or another process has it.
    """
    wanted = wanted_endpoints(
        config,
        clock,
        telemetry,
        stale_on_exit=stale_on_exit,
        lasts=lasts,
        method=method,
        beside=beside,
        room=queue_room(),
    )
    return [each.make() for each in wanted]


def _names(config: Config) -> Iterator[str]:
    """What each endpoint is called: its name, or its host, and a number where that would be another's."""
    taken: set[str] = {section.name for section in config.remote_write if section.name}
    sections: tuple[RemoteWriteSection | PushgatewaySection, ...] = (*config.remote_write, *config.pushgateway)
    for section in sections:
        name = section.name if isinstance(section, RemoteWriteSection) else None
        if name is None:
            host = section.url.split().netloc.rpartition("@")[2]
            candidates = (host if n == 1 else f"{host}#{n}" for n in range(1, len(taken) + 2))
            name = next(candidate for candidate in candidates if candidate not in taken)
            taken.add(name)
        yield name


@dataclass(frozen=True)
class _Sinks:
    """Makes the endpoints of a configuration; see `make_endpoints` and `wanted_endpoints`."""

    config: Config
    clock: Clock
    telemetry: Telemetry
    stale_on_exit: bool
    lasts: Callable[[Block], bool]
    method: Callable[[], Method]
    beside: bool
    room: Room | None

    def remote_write(self, name: str, section: RemoteWriteSection) -> Endpoint:
        now = self.clock.wall
        waiting = self._waiting(name)
        choice = ProtocolChoice(
            _PROTOCOLS[section.protobuf_message],
            now=now,
            recalled=waiting.recall() if isinstance(waiting, Spool) else None,
            remember=waiting.remember if isinstance(waiting, Spool) else None,
        )
        comparison = self._comparison(name)
        client = make_client(section, comparison)
        sink = RemoteWrite(client, bare_url(section.url), choice, downgrade=late.downgrade, now=now)
        worker = Worker(
            name,
            waiting,
            sink,
            _limits(section),
            self.telemetry,
            reshape=Reshape(late.split, late.merge),
            clock=self.clock.monotonic,
            now=now,
            latest=comparison.latest,
            ask=sink.ask,
            ask_first=not synchronised(),
            patient=self._patient(),
        )
        stale = self.stale_on_exit if section.stale_on_exit is None else section.stale_on_exit
        return RemoteWriteEndpoint(name, worker, choice, self._encoders(section), stale_on_exit=stale, lasts=self.lasts)

    def pushgateway(self, name: str, section: PushgatewaySection) -> Endpoint:
        # The group's own labels say who this is; the gateway would overwrite ours.
        group = {"job", *section.grouping_key}
        labels = {label: value for label, value in self.config.external_labels.items() if label not in group}
        choice = FormatChoice(Protocol.DELIMITED if section.send_native_histograms else Protocol.TEXT)
        encoder = GroupEncoder(choice, labels)
        sink = Pushgateway(
            make_client(section, self._comparison(name)),
            group_url(bare_url(section.url), section.job, section.grouping_key),
            choice,
            as_text=encoder.as_text,
            rest=encoder.rest,
            now=self.clock.wall,
            method=self.method,
            on_exit=section.on_exit,
            linger=section.linger,
        )
        worker = Worker(
            name,
            self._memory(name, latest=True),
            sink,
            Limits(timeout=section.timeout),
            self.telemetry,
            clock=self.clock.monotonic,
            now=self.clock.wall,
        )
        return PushgatewayEndpoint(
            name, worker, encoder.encode, lambda deadline: isinstance(sink.finish(deadline), Accepted)
        )

    def _encoders(self, section: RemoteWriteSection) -> dict[Protocol, Callable[[], Encoder]]:
        arguments = (dict(self.config.external_labels), section.queue_config.max_samples_per_send)
        native = section.send_native_histograms
        return {
            Protocol.REMOTE_WRITE_1: partial(RemoteWriteV1Encoder, *arguments, native_histograms=native),
            Protocol.REMOTE_WRITE_2: partial(RemoteWriteV2Encoder, *arguments, native_histograms=native),
        }

    def _comparison(self, name: str) -> ClockComparison:
        return ClockComparison(name, self.telemetry, self.clock.wall, self.clock.monotonic)

    def _memory(
        self, name: str, *, latest: bool = False, leave: Callable[[Sequence[Request]], None] | None = None
    ) -> MemoryQueue:
        return MemoryQueue(
            max_bytes=self.config.spool.max_bytes,
            max_age=self.config.spool.max_age,
            dropped=partial(self._dropped, name, self._age_log(name)),
            now=self._patient(),
            max_requests=1 if latest else None,
            room=None if latest else self.room,
            leave=leave,
        )

    def _waiting(self, name: str) -> Spool | MemoryQueue:
        """The endpoint's queue; on disk in a directory of its own, since names may hold what file names may not."""
        if self.config.spool.directory is None:
            return self._memory(name)
        directory = self.config.spool.directory / f"endpoint-{quote(name, safe='')}"
        try:
            return self._spool(name, directory)
        except SpoolError as error:
            if not self.beside:
                raise
            if isinstance(error, SpoolInUseError):
                logger.info("%s; what cannot be sent is left there", error)
                return self._memory(name, leave=partial(_leave, directory))
            # To leave it there is in vain: who has the spool could not read it, or it cannot be written.
            logger.warning("%s; what cannot be sent is lost", error)
            return self._memory(name)

    def _spool(self, name: str, directory: Path) -> Spool:
        return Spool(
            directory,
            max_bytes=self.config.spool.max_bytes,
            max_age=self.config.spool.max_age,
            dropped=partial(self._dropped, name, self._age_log(name)),
            damaged=partial(self.telemetry.add, "ss_pusher_spool_damaged_total", endpoint=name),
            now=self._patient(),
        )

    def _patient(self) -> PatientClock:
        return PatientClock(self.clock, believed=bool(synchronised()))

    def _age_log(self, name: str) -> AgeLog:
        return AgeLog(name, "spool.max_age", self.clock.monotonic)

    def _dropped(self, endpoint: str, age_log: AgeLog, reason: str, samples: int) -> None:
        if reason == TOO_OLD:
            age_log.tell(samples)
        self.telemetry.add("ss_pusher_samples_dropped_total", samples, endpoint=endpoint, reason=reason)


def _limits(section: RemoteWriteSection) -> Limits:
    queue = section.queue_config
    return Limits(
        timeout=section.remote_timeout,
        min_backoff=queue.min_backoff,
        max_backoff=queue.max_backoff,
        sample_age=queue.sample_age_limit,
        sample_future=PATIENCE_MS / 1000,
        samples_per_send=queue.max_samples_per_send,
        bytes_per_send=queue.max_bytes_per_send,
    )


def _leave(directory: Path, requests: Sequence[Request]) -> None:
    """Leave what was not sent to whoever has the spool. If the disk does not take it, only the samples are lost."""
    try:
        deposit(directory, requests)
    except SpoolError as error:
        logger.warning("%s; %d samples are lost", error, sum(request.samples for request in requests))
