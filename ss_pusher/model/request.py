"""What is on its way out."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Protocol(IntEnum):
    """What the body of a request is. The numbers stand in spool files: never reuse one."""

    REMOTE_WRITE_1 = 1  # prometheus.WriteRequest, snappy block format
    REMOTE_WRITE_2 = 2  # io.prometheus.write.v2.Request, snappy block format
    TEXT = 3  # text exposition format 0.0.4
    DELIMITED = 4  # io.prometheus.client.MetricFamily, length-delimited protobuf


@dataclass(frozen=True, slots=True)
class Request:
    """One request's body, ready for the wire, and what the queue and the self-metrics need to know of it."""

    protocol: Protocol
    body: bytes
    samples: int
    oldest_ms: int  # the lowest timestamp inside
    newest_ms: int  # the highest timestamp inside


class Pending(NamedTuple):
    """What waits in a queue, leased requests included."""

    requests: int
    samples: int
    bytes: int
