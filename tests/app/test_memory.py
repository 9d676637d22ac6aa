"""How much memory there is, by files like those of the kernel, and what becomes of it."""

from pathlib import Path

import pytest

from ss_pusher.app.memory import memory_limit, most_event_bytes, most_sockets, queue_room

V1_NONE = "9223372036854771712"
V2 = "0::/system.slice/ss-pusher.service\n"
V1 = "5:cpu,cpuacct:/a\n4:memory:/system.slice/ss-pusher.service\n1:name=systemd:/a\n0::/system.slice\n"


def root(directory: Path, cgroup: str, **limits: str) -> Path:
    """A root directory with such a /proc/self/cgroup and these files."""
    files = {"proc/self/cgroup": cgroup}
    files |= {f"sys/fs/cgroup/{name}": value + "\n" for name, value in limits.items()}
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        (V2, {"system.slice/ss-pusher.service/memory.max": "268435456"}, 268435456),
        (V2, {"system.slice/ss-pusher.service/memory.max": "max"}, None),
        (V2, {}, None),
        # whoever is above may allow less
        (V2, {"system.slice/ss-pusher.service/memory.max": "max", "system.slice/memory.max": "1000"}, 1000),
        (V2, {"system.slice/ss-pusher.service/memory.max": "500", "system.slice/memory.max": "1000"}, 500),
        (V2, {"system.slice/ss-pusher.service/memory.high": "400", "system.slice/memory.max": "1000"}, 400),
        # a container sees its own cgroup as the root, and may be told the host's way to it
        ("0::/\n", {"memory.max": "700"}, 700),
        ("0::/../../kubepods/pod1\n", {"memory.max": "700"}, 700),
        ("0::/kubepods/pod1\n", {"memory.max": "700"}, 700),
        (V1, {"memory/system.slice/ss-pusher.service/memory.limit_in_bytes": "600"}, 600),
        (V1, {"memory/system.slice/ss-pusher.service/memory.limit_in_bytes": V1_NONE}, None),
        (V1, {"memory/system.slice/memory.limit_in_bytes": "800"}, 800),
        ("4:memory:/docker/abc\n", {"memory/memory.limit_in_bytes": "900"}, 900),
        # hybrid: version 2 without the controller beside version 1
        (V1, {"unified/system.slice/memory.max": "max", "memory/memory.limit_in_bytes": "900"}, 900),
        ("1:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "900"}, None),
        (V2, {"system.slice/memory.max": "nonsense"}, None),
    ],
)
def test_the_least_limit_of_all_cgroups_above_holds(
    tmp_path: Path, cgroup: str, limits: dict[str, str], expected: int | None
) -> None:
    assert memory_limit(root(tmp_path, cgroup, **limits)) == expected


def test_without_proc_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "sockets", "bytes_of_events"),
    [
        (None, None, 128 << 20),
        (256 << 20, 122_016, 64 << 20),
        (4 << 30, 2_867_378, 128 << 20),
        (16 << 20, 10_000, 4 << 20),
    ],
)
def test_a_tick_reads_what_the_limit_has_room_for(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, sockets: int | None, bytes_of_events: int
) -> None:
    monkeypatch.setattr("ss_pusher.app.memory.memory_limit", lambda: limit)
    assert most_sockets() == sockets
    assert most_event_bytes() == bytes_of_events


def test_the_queues_have_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ss_pusher.app.memory.memory_limit", lambda: 256 << 20)
    room = queue_room()
    assert room is not None
    assert room.total == 64 << 20
    monkeypatch.setattr("ss_pusher.app.memory.memory_limit", lambda: None)
    assert queue_room() is None
