"""Every number that the kernel tells of a TCP socket: where it stands, how wide it is, and which value means "none".

Names are the kernel's, without `tcpi_` (struct tcp_info) and `idiag_` (struct inet_diag_msg). Of a listening socket the
kernel fills in little, and leaves the rest 0: `unacked` and `sacked` are the connections that wait and may wait.
"""

from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np

U32_MAX: Final = 0xFFFF_FFFF
U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
INFINITE_SSTHRESH: Final = 0x7FFF_FFFF  # include/net/tcp.h, TCP_INFINITE_SSTHRESH


class Source(Enum):
    """The structure that holds a field."""

    TCP_INFO = "tcp_info"  # include/uapi/linux/tcp.h, the payload of INET_DIAG_INFO
    INET_DIAG_MSG = "inet_diag_msg"  # include/uapi/linux/inet_diag.h, in front of the attributes
    MARK = "mark"  # the payload of INET_DIAG_MARK, which only those with CAP_NET_ADMIN get


class Field(NamedTuple):
    """One number of a socket. `offset` is in bytes from the start of `source`; multi-byte values are in host order.

    `no_value` is what the kernel reports while it has none to give; where another field tells that, `witness` names it.
    Bit fields are `bits` wide from bit `shift` on.
    """

    name: str
    source: Source
    offset: int
    dtype: np.dtype[Any]
    no_value: int | None = None
    witness: str = ""
    shift: int = 0
    bits: int = 0

    @property
    def end(self) -> int:
        """The first byte after the field: a structure that is shorter does not hold it."""
        return self.offset + self.dtype.itemsize


U8: Final = np.dtype(np.uint8)
U16: Final = np.dtype(np.uint16)
U32: Final = np.dtype(np.uint32)
U64: Final = np.dtype(np.uint64)


def _info(name: str, offset: int, dtype: np.dtype[Any] = U32, no_value: int | None = None, witness: str = "") -> Field:
    return Field(name, Source.TCP_INFO, offset, dtype, no_value, witness)


def _bits(name: str, offset: int, shift: int, bits: int) -> Field:
    return Field(name, Source.TCP_INFO, offset, U8, shift=shift, bits=bits)


def _message(name: str, offset: int, dtype: np.dtype[Any] = U32) -> Field:
    return Field(name, Source.INET_DIAG_MSG, offset, dtype)


# Each "no value" is what net/ipv4/tcp.c, tcp_get_info() reports before the first sample or while there is no limit.
# A 0 that is a count stays a 0. Bytes 276 to 279 changed their meaning between kernels, so no field reads them.
_TABLE: Final = (
    _info("state", 0, U8),
    _info("ca_state", 1, U8),
    _info("retransmits", 2, U8),
    _info("probes", 3, U8),
    _info("backoff", 4, U8),
    _info("options", 5, U8),
    _bits("snd_wscale", 6, 0, 4),
    _bits("rcv_wscale", 6, 4, 4),
    _bits("delivery_rate_app_limited", 7, 0, 1),
    _bits("fastopen_client_fail", 7, 1, 2),
    _info("rto", 8),
    _info("ato", 12),
    _info("snd_mss", 16),
    _info("rcv_mss", 20),
    _info("unacked", 24),
    _info("sacked", 28),
    _info("lost", 32),
    _info("retrans", 36),
    _info("fackets", 40),
    _info("last_data_sent", 44),
    _info("last_ack_sent", 48, no_value=0),  # the kernel does not remember it, and says 0
    _info("last_data_recv", 52),
    _info("last_ack_recv", 56),
    _info("pmtu", 60),
    _info("rcv_ssthresh", 64),
    _info("rtt", 68, no_value=0),
    _info("rttvar", 72, witness="rtt"),  # before the first sample the kernel's first guess, 250 ms
    _info("snd_ssthresh", 76, no_value=INFINITE_SSTHRESH),
    _info("snd_cwnd", 80),
    _info("advmss", 84),
    _info("reordering", 88),
    _info("rcv_rtt", 92, no_value=0),
    _info("rcv_space", 96),
    _info("total_retrans", 100),
    _info("pacing_rate", 104, U64, no_value=U64_MAX),
    _info("max_pacing_rate", 112, U64, no_value=U64_MAX),
    _info("bytes_acked", 120, U64),
    _info("bytes_received", 128, U64),
    _info("segs_out", 136),
    _info("segs_in", 140),
    _info("notsent_bytes", 144),
    _info("min_rtt", 148, no_value=U32_MAX),
    _info("data_segs_in", 152),
    _info("data_segs_out", 156),
    _info("delivery_rate", 160, U64, no_value=0),
    _info("busy_time", 168, U64),
    _info("rwnd_limited", 176, U64),
    _info("sndbuf_limited", 184, U64),
    _info("delivered", 192),
    _info("delivered_ce", 196),
    _info("bytes_sent", 200, U64),
    _info("bytes_retrans", 208, U64),
    _info("dsack_dups", 216),
    _info("reord_seen", 220),
    _info("rcv_ooopack", 224),
    _info("snd_wnd", 228),
    _info("rcv_wnd", 232),
    _info("rehash", 236),
    _info("total_rto", 240, U16),
    _info("total_rto_recoveries", 242, U16),
    _info("total_rto_time", 244),
    _info("received_ce", 248),
    _info("delivered_e1_bytes", 252),
    _info("delivered_e0_bytes", 256),
    _info("delivered_ce_bytes", 260),
    _info("received_e1_bytes", 264),
    _info("received_e0_bytes", 268),
    _info("received_ce_bytes", 272),
    _message("timer", 2, U8),  # 0 none, 1 retransmit, 2 keepalive, 3 TIME_WAIT, 4 zero-window probe
    _message("timer_retransmits", 3, U8),  # idiag_retrans: how often that timer has fired
    _message("timer_expires", 52),  # idiag_expires: milliseconds
    _message("receive_queue", 56),  # idiag_rqueue: bytes; of a listener: connections that wait for accept()
    _message("send_queue", 60),  # idiag_wqueue: bytes; of a listener: how many may wait
)

FIELDS: Final = {field.name: field for field in _TABLE}

MARK: Final = Field("mark", Source.MARK, 0, U32)
"""SO_MARK of the socket. No metric is made of it; filters ask for it."""
