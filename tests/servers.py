"""Real servers on free loopback ports, with temporary storage: started, waited for, asked, stopped."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests import needs

START_DEADLINE: Final = 30.0
STOP_DEADLINE: Final = 10.0
LOG_TAIL: Final = 20
_ATTEMPTS: Final = 3

Labels = tuple[tuple[str, str], ...]
"""Pairs sorted by name; the metric's name is among them as __name__."""

S = TypeVar("S", bound="Server")


class ServerError(Exception):
    """A server did not start; holds the end of its log."""


def labels(name: str = "", /, **others: str) -> Labels:
    """The key under which a series stands in what the helpers return."""
    return tuple(sorted({"__name__": name, **others}.items() if name else others.items()))


@dataclass(frozen=True)
class Server:
    """A running server. `log` is the file with all that it prints; `access` is how requests must come, for requests."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    access: Mapping[str, Any] = field(default_factory=dict)

    def get(self, path: str, **parameters: Any) -> requests.Response:
        """An answer of status 2xx to a GET, or requests.HTTPError."""
        response = requests.get(self.url + path, params=parameters, timeout=10, **self.access)
        response.raise_for_status()
        return response


class PromQL(Server):
    """A server with Prometheus' query API."""

    def query(self, expression: str, at: float | None = None) -> dict[Labels, float]:
        """An instant query; `at` is a Unix time in seconds, and now if None."""
        result = self._data("/api/v1/query", query=expression, time=at or time.time())["result"]
        return {_key(series): float(series["value"][1]) for series in result}

    def query_range(
        self, expression: str, start: float, end: float, step: float
    ) -> dict[Labels, list[tuple[float, float]]]:
        """A range query: each series as pairs of Unix time in seconds and value."""
        result = self._data("/api/v1/query_range", query=expression, start=start, end=end, step=step)["result"]
        return {_key(series): _points(series) for series in result}

    def samples(
        self, selector: str, window: str = "1h", at: float | None = None
    ) -> dict[Labels, list[tuple[float, float]]]:
        """What is stored, unrounded: pairs of Unix time in seconds and value of the last `window`."""
        result = self._data("/api/v1/query", query=f"{selector}[{window}]", time=at or time.time())["result"]
        return {_key(series): _points(series) for series in result}

    def _data(self, path: str, **parameters: Any) -> Any:
        return self.get(path, **parameters).json()["data"]


class Prometheus(PromQL):
    """Debian's prometheus, which takes remote write at `write_url`."""

    @property
    def write_url(self) -> str:
        return self.url + "/api/v1/write"

    def metadata(self) -> dict[str, list[dict[str, str]]]:
        """Type, help and unit of each scraped family."""
        metadata: dict[str, list[dict[str, str]]] = self._data("/api/v1/metadata")
        return metadata


class VictoriaMetrics(PromQL):
    """Debian's victoria-metrics, which takes remote write at `write_url`."""

    @property
    def write_url(self) -> str:
        return self.url + "/api/v1/write"

    def get(self, path: str, **parameters: Any) -> requests.Response:
        """As `Server.get`, with all that was written before being found, up to the present millisecond."""
        super().get("/internal/force_flush")
        return super().get(path, nocache=1, **parameters)


class Pushgateway(Server):
    """Debian's prometheus-pushgateway."""

    def groups(self) -> list[dict[str, Any]]:
        """What /api/v1/metrics tells of each group: labels, last_push_successful, and its families by name."""
        groups: list[dict[str, Any]] = self.get("/api/v1/metrics").json()["data"]
        return groups

    def metrics(self) -> dict[Labels, float]:
        """What a scrape of /metrics gives."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {labels(sample.name, **sample.labels): sample.value for family in families for sample in family.samples}


@contextmanager
def prometheus(
    directory: Path,
    *,
    scrape: Sequence[str] = (),
    scrape_interval: str = "200ms",
    scrape_config: Mapping[str, Any] | None = None,
    flags: Sequence[str] = (),
    access: Mapping[str, Any] | None = None,
) -> Iterator[Prometheus]:
    """Prometheus with a remote write receiver, which scrapes the targets (host:port) and honours their labels.

    `scrape_config` holds more keys of that job; `access` is how Prometheus itself must be asked, if its flags ask for
    more than HTTP.
    """
    targets = [{"targets": list(scrape)}]
    jobs = [{"job_name": "scraped", "honor_labels": True, "static_configs": targets, **(scrape_config or {})}]
    configuration = {"global": {"scrape_interval": scrape_interval}, "scrape_configs": jobs}
    config_file = directory / "prometheus.yml"
    config_file.write_text(json.dumps(configuration), encoding="utf-8")  # JSON is YAML

    def arguments(address: str) -> list[str]:
        return [
            f"--web.listen-address={address}",
            f"--config.file={config_file}",
            f"--storage.tsdb.path={directory / 'prometheus'}",
            "--web.enable-remote-write-receiver",
            "--scrape.discovery-reload-interval=100ms",  # by default it waits 5 s more before its first scrape
            *flags,
        ]

    with _running(Prometheus, "prometheus", arguments, "/-/ready", directory, access=access) as server:
        yield server


@contextmanager
def pushgateway(
    directory: Path, *, flags: Sequence[str] = (), access: Mapping[str, Any] | None = None
) -> Iterator[Pushgateway]:
    """The Pushgateway, which keeps its groups in a file as Debian's service does; `access` as for Prometheus."""

    def arguments(address: str) -> list[str]:
        return [f"--web.listen-address={address}", f"--persistence.file={directory / 'pushgateway'}", *flags]

    with _running(Pushgateway, "prometheus-pushgateway", arguments, "/-/ready", directory, access=access) as server:
        yield server


@contextmanager
def victoria_metrics(directory: Path, *, flags: Sequence[str] = ()) -> Iterator[VictoriaMetrics]:
    """VictoriaMetrics, single-node, which does not hide the newest samples as it does by default."""

    def arguments(address: str) -> list[str]:
        return [
            f"-httpListenAddr={address}",
            f"-storageDataPath={directory / 'victoria-metrics'}",
            "-search.latencyOffset=0s",
            *flags,
        ]

    with _running(VictoriaMetrics, "victoria-metrics", arguments, "/health", directory, access=None) as server:
        yield server


def free_port() -> int:
    """A TCP port of loopback that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(
    kind: type[S],
    name: str,
    arguments: Callable[[str], list[str]],
    ready: str,
    directory: Path,
    *,
    access: Mapping[str, Any] | None,
) -> Iterator[S]:
    server = _start(kind, name, arguments, ready, directory, access=access or {})
    try:
        yield server
    finally:
        _stop(server.process)


def _start(
    kind: type[S],
    name: str,
    arguments: Callable[[str], list[str]],
    ready: str,
    directory: Path,
    *,
    access: Mapping[str, Any],
) -> S:
    executable = needs.command(name)
    log = directory / f"{name}.log"
    for attempt in range(1, _ATTEMPTS + 1):
        address = f"127.0.0.1:{free_port()}"
        # The server dies with the test run, also when that is killed.
        argv = ["setpriv", "--pdeathsig", "KILL", "--", executable, *arguments(address)]
        with log.open("wb") as output:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        server = kind(f"{'https' if 'verify' in access else 'http'}://{address}", process, log, access)
        if _wait_until_ready(server, ready):
            return server
        _stop(process)
        text = log.read_text(errors="replace")
        if "address already in use" not in text or attempt == _ATTEMPTS:
            break
    tail = "\n".join(text.splitlines()[-LOG_TAIL:])
    raise ServerError(f"{name} did not start (exit status {process.returncode}):\n{tail}")


def _wait_until_ready(server: Server, path: str) -> bool:
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            server.get(path)
        except requests.RequestException:
            time.sleep(0.02)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _key(series: dict[str, Any]) -> Labels:
    return labels(**series["metric"])


def _points(series: dict[str, Any]) -> list[tuple[float, float]]:
    return [(float(time_), float(value)) for time_, value in series["values"]]
