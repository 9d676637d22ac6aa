"""Where snapshots go: each endpoint encodes on the tick's thread, and sends on its own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from ss_pusher import model
from ss_pusher.app import late
from ss_pusher.model import Block, Request, Snapshot

if TYPE_CHECKING:
    # A batch job's sockets are read before an HTTP client is imported, which takes as long as all the rest.
    from ss_pusher.send.expose import ExposeServer, Exposition
    from ss_pusher.send.pushgateway import FormatChoice
    from ss_pusher.send.remote_write import ProtocolChoice
    from ss_pusher.send.worker import Worker


class Endpoint(Protocol):
    """One receiver of snapshots."""

    bears_time: bool
    """Whether what is sent says when it was so: then it must not go back in time when the clock does."""

    @property
    def name(self) -> str:
        """What logs and metrics call it."""

    def start(self) -> None:
        """Begin to send."""

    def push(self, snapshot: Snapshot) -> None:
        """Queue a snapshot; never waits for the network."""

    def flush(self, deadline: float) -> bool:
        """Wait until all that is queued was accepted, or `deadline` (monotonic): whether it was."""

    def finish(self, time_ms: int, deadline: float) -> bool:
        """Send the last, by `deadline` (monotonic), and end: whether all since the start was accepted."""


class Encoder(Protocol):
    """Snapshots into requests of one protocol."""

    def encode(self, snapshot: Snapshot) -> list[Request]:
        """All that the snapshot says."""

    def stale(self, time_ms: int) -> list[Request]:
        """Markers that end every series of the last snapshot."""


class RemoteWriteEndpoint:
    """Encodes in the protocol that the receiver is known to take."""

    bears_time = True

    def __init__(
        self,
        name: str,
        worker: "Worker",
        choice: "ProtocolChoice",
        encoders: Mapping[model.Protocol, Callable[[], Encoder]],
        *,
        stale_on_exit: bool,
        lasts: Callable[[Block], bool] = lambda _: False,
    ) -> None:
        """`lasts` says what does not end with the command, though its series are marked as ended."""
        self.name: Final = name
        self._worker: Final = worker
        self._choice: Final = choice
        self._encoders: Final = encoders
        self._stale_on_exit: Final = stale_on_exit
        self._lasts: Final = lasts
        self._last: Snapshot | None = None
        self._protocol: model.Protocol | None = None
        self._encoder: Encoder | None = None

    def start(self) -> None:
        """Begin to send."""
        self._worker.start()

    def push(self, snapshot: Snapshot) -> None:
        """Queue a snapshot."""
        self._last = snapshot
        for request in self._encode(snapshot):
            self._worker.put(request)

    def flush(self, deadline: float) -> bool:
        """Wait until all was accepted."""
        return self._worker.flush(deadline)

    def finish(self, time_ms: int, deadline: float) -> bool:
        """End the series where that is wanted, send what can be sent, stop."""
        if self._stale_on_exit and self._encoder and self._last:
            for request in self._ending(self._encoder, self._last, time_ms):
                self._worker.put(request)
        return self._worker.stop(deadline)

    def _ending(self, encoder: Encoder, last: Snapshot, time_ms: int) -> list[Request]:
        lasting = tuple(filter(self._lasts, last.blocks))
        if not lasting:
            return encoder.stale(time_ms)
        return encoder.encode(Snapshot(max(time_ms, last.time_ms + 1), last.time_ms, lasting))

    def _encode(self, snapshot: Snapshot) -> list[Request]:
        """When the protocol changes, the old encoder speaks once more: only it knows which series have ended."""
        before, protocol = self._encoder, self._choice.current()
        if before and protocol is self._protocol:
            return before.encode(snapshot)
        self._protocol, self._encoder = protocol, self._encoders[protocol]()
        requests = self._encoder.encode(snapshot)
        return before.encode(snapshot) if before else requests


class GroupEncoder:
    """Encodes snapshots in the format that a Pushgateway is known to take."""

    def __init__(self, choice: "FormatChoice", external_labels: Mapping[str, str]) -> None:
        self._choice: Final = choice
        self._external_labels: Final = external_labels
        self._last = Snapshot(0, 0, ())

    def encode(self, snapshot: Snapshot) -> Request:
        """The whole group."""
        self._last = snapshot
        delimited = self._choice.current() is model.Protocol.DELIMITED
        return (late.delimited_request if delimited else late.text_request)(snapshot, self._external_labels)

    def as_text(self) -> Request:
        """The last one again; from the thread that sends."""
        return late.text_request(self._last, self._external_labels)

    def rest(self) -> Request | None:
        """The last one again as text without what is foreign in it; None if nothing is. From the thread that sends."""
        last = self._last
        blocks = tuple(block for block in last.blocks if not block.foreign)
        histograms = tuple(block for block in last.histograms if not block.foreign)
        if (len(blocks), len(histograms)) == (len(last.blocks), len(last.histograms)):
            return None
        return late.text_request(replace(last, blocks=blocks, histograms=histograms), self._external_labels)


class PushgatewayEndpoint:
    """Sends the whole group at each push; only the latest one waits."""

    bears_time = False

    def __init__(
        self,
        name: str,
        worker: "Worker",
        encode: Callable[[Snapshot], Request],
        last_call: Callable[[float], bool],
    ) -> None:
        """`last_call` is made at the end, with the deadline: it deletes the group where that is wanted."""
        self.name: Final = name
        self._worker: Final = worker
        self._encode: Final = encode
        self._last_call: Final = last_call

    def start(self) -> None:
        """Begin to send."""
        self._worker.start()

    def push(self, snapshot: Snapshot) -> None:
        """Queue a snapshot in the place of one that still waits."""
        self._worker.put(self._encode(snapshot))

    def flush(self, deadline: float) -> bool:
        """Wait until the last one was accepted."""
        return self._worker.flush(deadline)

    def finish(self, time_ms: int, deadline: float) -> bool:  # noqa: ARG002 - a Pushgateway takes no times
        """Send the last one, and delete the group where that is wanted."""
        sent = self._worker.stop(deadline)
        return self._last_call(deadline) and sent


class ExposeEndpoint:
    """Pushes nothing: whoever asks gets the last snapshot."""

    bears_time = False

    name: Final = "expose"

    def __init__(self, exposition: "Exposition", listen: "Callable[[], ExposeServer]") -> None:
        self._exposition: Final = exposition
        self._listen: Final = listen
        self._server: ExposeServer | None = None

    def start(self) -> None:
        """Listen. Raises AddressInUseError."""
        self._server = self._listen()

    def push(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        self._exposition.show(snapshot)

    def flush(self, deadline: float) -> bool:  # noqa: ARG002 - nothing waits
        """Nothing waits."""
        return True

    def finish(self, time_ms: int, deadline: float) -> bool:  # noqa: ARG002 - nothing waits
        """Listen no more."""
        if self._server:
            self._server.close()
        return True
