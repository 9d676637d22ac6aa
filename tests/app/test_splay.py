"""Where in the interval the hosts of a fleet tick."""

from pathlib import Path
from socket import gethostname

import numpy as np

from ss_pusher.app.splay import splay, this_host

LABELS = {"job": "ss_pusher", "instance": "edge-7"}


def test_a_host_keeps_its_place_in_whatever_order_its_labels_are_written() -> None:
    assert splay("a", LABELS) == splay("a", dict(reversed(LABELS.items())))


def test_hosts_and_agents_on_the_same_host_have_places_of_their_own() -> None:
    places = {splay("a", LABELS), splay("b", LABELS), splay("a", {**LABELS, "job": "other"}), splay("a", {})}
    assert len(places) == 4


def test_the_places_of_many_hosts_are_spread_evenly() -> None:
    places = [splay(f"{number:032x}", LABELS) for number in range(10_000)]
    counts, _ = np.histogram(places, bins=10, range=(0, 1))
    assert counts.sum() == 10_000
    assert counts.max() < 1100  # 3.3 standard deviations


def test_a_host_is_known_by_its_machine_id_and_without_one_by_its_name(tmp_path: Path) -> None:
    assert this_host(tmp_path) == gethostname()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("\n")
    assert this_host(tmp_path) == gethostname()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    assert this_host(tmp_path) == "0123456789abcdef0123456789abcdef"
