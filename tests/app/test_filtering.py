"""Rules that change while an agent runs."""

import socket
from typing import Never

import pytest

from ss_pusher.app.filtering import Filtering
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.model import Rule
from tests.attribute.rows import row, table


def test_hosts_keep_their_last_addresses_over_a_change_of_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    attributor = Attributor()
    filtering = Filtering([Rule(keeps=False, hosts=("192.0.2.7",))], attributor, loopback=True, closed_flows=True)
    try:
        monkeypatch.setattr(socket, "getaddrinfo", _unanswered)
        filtering.change([Rule(keeps=False, hosts=("192.0.2.7",), remote_ports=((80, 80),))])
        filtering.compile()
        sockets = table(row("10.0.0.1:4000", "192.0.2.7:80"), row("10.0.0.1:4001", "192.0.2.7:81"))
        assert filtering.keep(sockets, attributor.attribute(sockets)).tolist() == [False, True]
    finally:
        filtering.close()


def _unanswered(*_: object) -> Never:
    raise socket.gaierror(socket.EAI_AGAIN, "scripted")
