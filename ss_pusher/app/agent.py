"""The agent: a pipeline, its endpoints, and the ways to run them."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ss_pusher.app.endpoints import Endpoint
from ss_pusher.app.filtering import Filtering
from ss_pusher.app.pipeline import Pipeline
from ss_pusher.clock import Clock
from ss_pusher.config import Config
from ss_pusher.errors import EncodeError
from ss_pusher.loop import Loop, Stages, Stop
from ss_pusher.model import Snapshot
from ss_pusher.telemetry import Telemetry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Agent:
    """All that runs. `close` gives the sockets back that the pipeline reads."""

    config: Config
    filtering: Filtering
    pipeline: Pipeline
    endpoints: Sequence[Endpoint]
    telemetry: Telemetry
    stages: Stages
    clock: Clock
    close: Callable[[], None]

    def run(self, stop: Stop) -> bool:
        """Tick until `stop` is set, push a last time; whether everything since the start was accepted.

        Raises:
            UnsupportedHostError: this kernel cannot tell of its sockets.
        """
        loop = Loop(self.tick, self.config.interval, self.clock, self.telemetry, moved=self.move)
        self.start()
        try:
            loop.run(stop)
            logger.info("stopping; what waits may still be sent for %g s", self.config.shutdown_deadline)
        finally:
            sent = self.finish()
        return sent

    def once(self) -> bool:
        """One tick, pushed: whether it succeeded and every endpoint took it.

        Raises:
            UnsupportedHostError: this kernel cannot tell of its sockets.
        """
        loop = Loop(self.tick, self.config.interval, self.clock, self.telemetry)
        self.start()
        try:
            ticked = loop.once()
        finally:
            sent = self.finish()
        return ticked and sent

    def tick(self, time_ms: int, export: bool) -> None:  # noqa: FBT001 - what the loop knows of this tick
        """One tick; see `Pipeline.tick`. One that is not exported goes where nobody asks for its time."""
        snapshot = self.pipeline.tick(time_ms, export=export)
        self.push(snapshot, [endpoint for endpoint in self.endpoints if export or not endpoint.bears_time])

    def move(self, milliseconds: int) -> None:
        """The clock was wrong by so much in all ticks before: move what is remembered of their times."""
        self.pipeline.move(milliseconds)
        self.telemetry.move(milliseconds)

    def push(self, snapshot: Snapshot, endpoints: Sequence[Endpoint]) -> None:
        """Hand a snapshot to endpoints; what one cannot express keeps no other from it.

        Raises:
            EncodeError: of the first endpoint that cannot express it.
        """
        errors = []
        with self.stages("encode"):
            for endpoint in endpoints:
                try:
                    endpoint.push(snapshot)
                except EncodeError as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    def start(self) -> None:
        """Begin to send. Raises AddressInUseError."""
        for endpoint in self.endpoints:
            endpoint.start()

    def finish(self) -> bool:
        """Send the last within `shutdown_deadline`, and end: whether every endpoint took all."""
        deadline = self.clock.monotonic() + self.config.shutdown_deadline
        time_ms = self.pipeline.previous_ms + 1
        taken = finish_all(self.endpoints, time_ms, deadline, self.clock)
        self.close()
        unhappy = [endpoint.name for endpoint in self.endpoints if endpoint.name not in taken]
        for name in unhappy:
            logger.warning("%s did not accept everything that was pushed", name)
        return not unhappy


def finish_all(endpoints: Sequence[Endpoint], time_ms: int, deadline: float, clock: Clock) -> set[str]:
    """Finish all endpoints at once, since they share the deadline (monotonic): the names of those that took all."""
    taken: set[str] = set()

    def finish(endpoint: Endpoint) -> None:
        if endpoint.finish(time_ms, deadline):
            taken.add(endpoint.name)

    threads = [threading.Thread(target=finish, args=(endpoint,), daemon=True) for endpoint in endpoints]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - clock.monotonic()) + 1)
    return taken
