"""What becomes of each request, and all that is remembered of them. No sockets here."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPMethod, HTTPStatus
from typing import Final, NamedTuple, TypeVar

from ss_pusher.model import Labels, Protocol
from ss_pusher.receiver import remote_write
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.page import page
from ss_pusher.receiver.pushgateway import Group, Groups
from ss_pusher.receiver.refused import RefusedError
from ss_pusher.receiver.remote_write import Metadata, Sample
from ss_pusher.receiver.store import Outcome, Store

WRITE_PATHS: Final = ("/api/v1/write", "/api/v1/push")
_PUSH_PATHS: Final = ("/metrics/job/", "/metrics/job@base64/")
_PUSH_METHODS: Final = (HTTPMethod.PUT, HTTPMethod.POST, HTTPMethod.DELETE)
_PAGES: Final = ("/", "/metrics", "/api/v1/metrics")
_PROBES: Final = ("/-/ready", "/-/healthy")

_NAMES: Final = {Protocol.REMOTE_WRITE_1: "remote write 1.0", Protocol.REMOTE_WRITE_2: "remote write 2.0"}

_MAX_GROUPS: Final = 1000
_REQUESTS_KEPT: Final = 1000
_PROBLEMS_TOLD: Final = 10


_P = TypeVar("_P", Sample, Histogram)


class Answer(NamedTuple):
    """An HTTP response; `text` is its body."""

    status: HTTPStatus
    text: str = ""
    headers: Mapping[str, str] = {}


class Arrival(NamedTuple):
    """A request that was received, and how it was answered: `text` is empty when all of it was taken."""

    unix_time: float
    method: HTTPMethod
    path: str
    body_bytes: int
    status: HTTPStatus = HTTPStatus.OK
    text: str = ""
    protocol: Protocol | None = None  # of remote write that could be read
    decoded_bytes: int = 0  # of remote write
    series: int = 0
    samples: int = 0  # those that were taken


class Inbox:
    """Answers requests as a strict receiver, and keeps what they brought, within bounds. Safe from any thread."""

    def __init__(
        self,
        clock: Callable[[], float],
        report: Callable[[str], None],
        *,
        remote_write_2: bool,
        samples_per_series: int,
        max_series: int,
    ) -> None:
        self._clock = clock
        self._report = report
        self._remote_write_2 = remote_write_2
        self._store = Store(samples_per_series, max_series)
        self._groups = Groups(_MAX_GROUPS)
        self._requests: deque[Arrival] = deque(maxlen=_REQUESTS_KEPT)
        self._violations: deque[str] = deque(maxlen=_REQUESTS_KEPT)
        self._changed = threading.Condition()

    @property
    def series(self) -> dict[Labels, list[Sample]]:
        """The last samples of each series that has some, in their order; the labels hold __name__."""
        return self._points(Sample)

    @property
    def histograms(self) -> dict[Labels, list[Histogram]]:
        """The last native histograms of each series that has some, in their order; the labels hold __name__."""
        return self._points(Histogram)

    def _points(self, kind: type[_P]) -> dict[Labels, list[_P]]:
        with self._changed:
            found = {
                labels: [point for point in points if isinstance(point, kind)]
                for labels, points in self._store.points.items()
            }
        return {labels: points for labels, points in found.items() if points}

    @property
    def families(self) -> dict[str, Metadata]:
        """What remote write told of each family."""
        with self._changed:
            return dict(self._store.families)

    @property
    def groups(self) -> dict[Labels, Group]:
        """The Pushgateway's groups by grouping key, pairs sorted by name."""
        with self._changed:
            return dict(self._groups.groups)

    @property
    def requests(self) -> list[Arrival]:
        """The last requests, oldest first."""
        with self._changed:
            return list(self._requests)

    @property
    def violations(self) -> list[str]:
        """Why requests, or samples of them, were refused; the last ones."""
        with self._changed:
            return list(self._violations)

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds, asked again after each request; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def answer(self, method: HTTPMethod, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Carry out one request. `headers` must find a name however it is written."""
        with self._changed:
            if method is HTTPMethod.GET:
                return self._get(path)
            arrival = Arrival(self._clock(), method, path, len(body))
            try:
                answer, arrival = self._change(arrival, headers, body)
            except RefusedError as error:
                answer = Answer(error.status, f"{error}\n")
            arrival = arrival._replace(status=answer.status, text=answer.text.rstrip("\n"))
            self._requests.append(arrival)
            self._report(_line(arrival))
            if answer.status is HTTPStatus.BAD_REQUEST:
                self._violations.append(arrival.text)
            self._changed.notify_all()
            return answer

    def _get(self, path: str) -> Answer:
        if path in _PROBES:
            return Answer(HTTPStatus.OK, "OK\n")
        if path in _PAGES:
            return Answer(HTTPStatus.OK, page(self._store.points, self._store.families, self._groups.groups))
        return Answer(HTTPStatus.NOT_FOUND, f"nothing is at {path}\n")

    def _change(self, arrival: Arrival, headers: Mapping[str, str], body: bytes) -> tuple[Answer, Arrival]:
        if arrival.method is HTTPMethod.POST and arrival.path in WRITE_PATHS:
            return self._write(arrival, headers, body)
        if arrival.method in _PUSH_METHODS and arrival.path.startswith(_PUSH_PATHS):
            series = self._groups.change(arrival.method, arrival.path, headers, body)
            status = HTTPStatus.ACCEPTED if arrival.method is HTTPMethod.DELETE else HTTPStatus.OK
            return Answer(status), arrival._replace(series=series, samples=series)
        raise RefusedError(f"nothing takes a {arrival.method} at {arrival.path}", HTTPStatus.NOT_FOUND)

    def _write(self, arrival: Arrival, headers: Mapping[str, str], body: bytes) -> tuple[Answer, Arrival]:
        protocol = remote_write.protocol_of(headers)
        if protocol is Protocol.REMOTE_WRITE_2 and not self._remote_write_2:
            raise RefusedError("remote write 2.0 is not taken here", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        write = remote_write.decode(protocol, body)
        outcome = self._store.write(write, int(self._clock() * 1000))
        arrival = arrival._replace(
            protocol=protocol,
            decoded_bytes=write.decoded_bytes,
            series=len(write.series),
            samples=outcome.samples + outcome.histograms,
        )
        written = _written(outcome) if protocol is Protocol.REMOTE_WRITE_2 else {}
        if outcome.problems:
            told = "\n".join(outcome.problems[:_PROBLEMS_TOLD])
            return Answer(HTTPStatus.BAD_REQUEST, f"{told}\n", written), arrival
        return Answer(HTTPStatus.NO_CONTENT, "", written), arrival


def _written(outcome: Outcome) -> Mapping[str, str]:
    prefix = "X-Prometheus-Remote-Write"
    return {
        f"{prefix}-Samples-Written": str(outcome.samples),
        f"{prefix}-Histograms-Written": str(outcome.histograms),
        f"{prefix}-Exemplars-Written": "0",
    }


def _line(arrival: Arrival) -> str:
    unread = "remote write" if arrival.path in WRITE_PATHS else "pushgateway"
    what = unread if arrival.protocol is None else _NAMES[arrival.protocol]
    decoded = f" ({arrival.decoded_bytes} decoded)" if arrival.decoded_bytes else ""
    answer = f"{arrival.status.value}, {arrival.text}" if arrival.text else str(arrival.status.value)
    size = f"{arrival.body_bytes} bytes{decoded}, {arrival.samples} samples"
    return f"{arrival.method} {arrival.path}: {what}, {size}: {answer}"
