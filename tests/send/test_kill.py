"""kill -9 at any moment, while the server fails every other request: nothing is lost and nothing out of order."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.queue.spools import opened
from tests.send.scripted import Peer, reply, scripted

DEADLINE = 600.0


@pytest.mark.parametrize(("lives", "seed"), [(200, 1), pytest.param(2000, 2, marks=pytest.mark.slow)])
def test_an_agent_that_is_killed_again_and_again_loses_nothing(tmp_path: Path, lives: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    accepted: list[int] = []

    def half_of_them(peer: Peer) -> bool:
        if chance.random() < 0.5:
            return bool(reply(500)(peer))
        accepted.append(int(peer.body))
        return bool(reply(204)(peer))

    with scripted(half_of_them) as server:
        argv = [sys.executable, "-m", "tests.send.victim", str(tmp_path / "spool"), server.url, str(lives), str(seed)]
        run = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)

    assert run.stderr == ""
    assert run.returncode == 0
    put = [int(line) for line in run.stdout.splitlines()]
    assert len(put) > lives
    assert set(put) <= set(accepted)
    highest = -1
    for number in accepted:  # again, perhaps; never one before the one before it
        assert number <= highest + 1
        highest = max(highest, number)
    with opened(tmp_path / "spool") as spool:
        assert spool.drain() == []
