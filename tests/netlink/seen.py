"""What another reader says of this kernel's sockets, between two readings of ours that it must lie between."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from ss_pusher.model import AddressFamily, TcpState
from ss_pusher.netlink.dump import Dumper
from ss_pusher.netlink.tcp_info import FIELDS
from tests.netlink import oracle
from tests.netlink.oracle import Row
from tests.waiting import wait_for

TIMES: Final = {"last_data_sent", "last_data_recv", "last_ack_recv", "busy_time", "rwnd_limited", "timer_expires"}


@dataclass(frozen=True)
class Seen:
    """What another reader said, and what we read before and after it, by cookie."""

    before: Mapping[int, Row]
    theirs: Any
    after: Mapping[int, Row]

    def at_rest(self) -> bool:
        """Whether nothing happened meanwhile."""
        return set(self.before) == set(self.after) and all(
            _unmoved(name, value, self.after[cookie].info[name])
            for cookie, row in self.before.items()
            for name, value in row.info.items()
        )

    def agrees(self, cookie: int, name: str, least: float, most: float) -> bool:
        """Whether something from `least` to `most` lies between our readings; what is absent counts as 0."""
        ours = [rows[cookie].info[name] or 0 for rows in (self.before, self.after)]
        return min(ours) <= most and least <= max(ours)


def _unmoved(name: str, before: int | None, after: int | None) -> bool:
    if before is None or after is None or name not in TIMES:
        return before == after
    return before >= after if name == "timer_expires" else before <= after


def look(read: Callable[[], Any]) -> Seen:
    """Read at a moment when nothing happens but that time goes by."""

    def once() -> Seen | None:
        seen = Seen(_rows(), read(), _rows())
        return seen if seen.at_rest() else None

    return cast(Seen, wait_for(once, "nothing happens while another reads"))


def _rows() -> dict[int, Row]:
    with Dumper() as dumper:
        sockets = dumper.dump(list(AddressFamily), list(TcpState), list(FIELDS.values()), congestion=True)
    return {row.cookie: row for row in oracle.rows_of(sockets)}
