"""What waits for a server that is away survives the agent's sudden death, and arrives exactly once."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.hosts import loss
from tests.queue.spools import opened
from tests.system.machine import AGENT
from tests.system.site import SPOOL, Site

pytestmark = pytest.mark.system

MANY = 2000  # samples, of which a tick has more than a hundred


def test_after_kill_9_all_that_waited_arrives_once(site: Site, tmp_path: Path) -> None:
    machine = site.machine
    machine.drop_in("[Service]\nRestartSec=100ms\n")
    site.start(site.config(SPOOL))
    site.tick_on()
    with loss(site.servers, 1):
        site.wait_for(lambda: site.waiting() > MANY, "ticks that wait")
        machine.run("systemctl", "kill", "--signal=STOP", AGENT)  # so that the spool can be looked at
        shutil.copytree(machine.root / "var/lib/private/ss-pusher", tmp_path / "spool")
        with opened(tmp_path / "spool/endpoint-prometheus") as spool:
            waiting = {request.newest_ms / 1000 for request in spool.drain()}
        before = site.waiting()
        machine.run("systemctl", "kill", "--signal=KILL", AGENT)
        site.wait_for(lambda: machine.shown("NRestarts") == "1" and machine.shown("SubState") == "running", "a new one")
        site.wait_for(lambda: site.waiting() > before + MANY, "ticks of its own that wait too")
    site.catch_up()
    machine.run("systemctl", "stop", AGENT)
    ticks = site.ticks()
    times = [moment for moment, _ in ticks]
    assert waiting <= set(times)
    assert sorted(set(times)) == times
    counted = [int(count) for _, count in ticks]
    again = counted.index(0, 1)
    assert counted == [*range(again), *range(len(counted) - again)]
    # The first life's last tick is the last one that waited: what came after the kill is of the second life.
    assert max(waiting) == times[again - 1]
    assert all(later - earlier < 2 for earlier, later in pairwise(times[:again]))
