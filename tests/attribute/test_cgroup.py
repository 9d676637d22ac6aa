"""Cgroups by path and by id."""

import logging
from pathlib import Path

import pytest

from ss_pusher.attribute import cgroup
from ss_pusher.attribute.cgroup import Cgroup, Cgroups, parse
from tests.attribute.cgroups import new_cgroup

ID = "3f4cf92a7a1b0c2d8e5f60718293a4b5c6d7e8f90123456789abcdef01234567"
SHORT = "3f4cf92a7a1b"
OTHER_ID = "a" * 64
UID = "2b5d3c1e-9f0a-4b7c-8d6e-0123456789ab"
UID_ = UID.replace("-", "_")
STATIC = "5d2a0b6f7c8e9d0a1b2c3d4e5f60718293"[:32]

MACHINES = "/machine.slice"
KIND = f"/docker/{OTHER_ID}/kubelet.slice/kubelet-kubepods.slice"
USER = "/user.slice/user-1000.slice/user@1000.service"

PATHS = [
    # systemd
    ("/", "", "", ""),
    ("/init.scope", "init.scope", "", ""),
    ("/system.slice/nginx.service", "nginx.service", "", ""),
    ("/system.slice/system-postgresql.slice/postgresql@16-main.service", "postgresql@16-main.service", "", ""),
    (r"/system.slice/system-foo.slice/foo@bar\x2dbaz.service", r"foo@bar\x2dbaz.service", "", ""),
    ("/system.slice/cups.socket", "cups.service", "", ""),
    ("/system.slice/dbus.socket/worker", "dbus.service", "", ""),
    ("/system.slice/ssh.service/session-4", "ssh.service", "", ""),
    ("/system.slice/_memory.service", "memory.service", "", ""),
    ("/system.slice/system-sshd.slice/sshd@3-10.0.0.1:22-10.0.0.9:51234.service", "sshd@.service", "", ""),
    ("/system.slice/system-sshd.slice/sshd@7-412-fe80::1:22-fe80::2:51234.service", "sshd@.service", "", ""),
    ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope", "", ""),
    (USER, "user@1000.service", "", ""),
    (f"{USER}/init.scope", "user@1000.service", "", ""),
    (f"{USER}/app.slice/syncthing.service", "syncthing.service", "", ""),
    (f"{USER}/app.slice/app-gnome-firefox-4242.scope", "app-gnome-firefox-4242.scope", "", ""),
    (r"/system.slice/mnt-nfs\x2dshare.mount", r"mnt-nfs\x2dshare.mount", "", ""),
    # Docker
    (f"/docker/{ID}", "", SHORT, ""),
    (f"/system.slice/docker-{ID}.scope", f"docker-{ID}.scope", SHORT, ""),
    (f"/system.slice/docker-{ID}.scope/init.scope", f"docker-{ID}.scope", SHORT, ""),
    (f"{USER}/user.slice/docker-{ID}.scope", f"docker-{ID}.scope", SHORT, ""),
    (f"/docker/{OTHER_ID}/docker/{ID}", "", SHORT, ""),
    ("/system.slice/docker.service", "docker.service", "", ""),
    ("/system.slice/containerd.service", "containerd.service", "", ""),
    # Podman
    (f"/machine.slice/libpod-{ID}.scope", f"libpod-{ID}.scope", SHORT, ""),
    (f"/machine.slice/libpod-{ID}.scope/container", f"libpod-{ID}.scope", SHORT, ""),
    (f"/machine.slice/libpod-conmon-{ID}.scope", f"libpod-conmon-{ID}.scope", "", ""),
    (f"{USER}/user.slice/libpod-{ID}.scope/container", f"libpod-{ID}.scope", SHORT, ""),
    (f"{USER}/app.slice/web.service/libpod-payload-{ID}", "web.service", SHORT, ""),
    (f"/system.slice/web.service/libpod-payload-{ID}", "web.service", SHORT, ""),
    (f"/libpod_parent/libpod-{ID}", "", SHORT, ""),
    (
        f"/machine.slice/machine-libpod_pod_{OTHER_ID}.slice/libpod-{ID}.scope",
        f"libpod-{ID}.scope",
        SHORT,
        "a" * 12,
    ),
    # containerd
    (f"/default/{ID}", "", SHORT, ""),
    (f"/system.slice/nerdctl-{ID}.scope", f"nerdctl-{ID}.scope", SHORT, ""),
    (
        f"/system.slice/containerd.service/kubepods-burstable-pod{UID_}.slice:cri-containerd:{ID}",
        "containerd.service",
        SHORT,
        UID,
    ),
    # Kubernetes, cgroupfs driver
    (f"/kubepods/burstable/pod{UID}/{ID}", "", SHORT, UID),
    (f"/kubepods/pod{UID}/{ID}", "", SHORT, UID),
    (f"/kubepods/besteffort/pod{STATIC}/{ID}", "", SHORT, STATIC),
    (f"/kubepods/besteffort/pod{UID}", "", "", UID),
    # Kubernetes, systemd driver
    (
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice/cri-containerd-{ID}.scope",
        f"cri-containerd-{ID}.scope",
        SHORT,
        UID,
    ),
    (
        f"/kubepods.slice/kubepods-pod{UID_}.slice/crio-{ID}.scope/container",
        f"crio-{ID}.scope",
        SHORT,
        UID,
    ),
    (
        f"/kubepods.slice/kubepods-pod{UID_}.slice/crio-conmon-{ID}.scope",
        f"crio-conmon-{ID}.scope",
        "",
        UID,
    ),
    (
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{STATIC}.slice/docker-{ID}.scope",
        f"docker-{ID}.scope",
        SHORT,
        STATIC,
    ),
    # k3s, k3d, kind
    (f"/system.slice/k3s.service/kubepods/burstable/pod{UID}/{ID}", "k3s.service", SHORT, UID),
    ("/system.slice/k3s.service", "k3s.service", "", ""),
    (
        f"{KIND}/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{UID_}.slice/cri-containerd-{ID}.scope",
        f"cri-containerd-{ID}.scope",
        SHORT,
        UID,
    ),
    (f"{USER}/user.slice/k3s-rootless.service/kubepods/pod{UID}/{ID}", "k3s-rootless.service", SHORT, UID),
    # LXC, LXD, Incus, Proxmox
    ("/lxc/web/ns", "", "web", ""),
    ("/lxc/101/ns/system.slice/nginx.service", "nginx.service", "101", ""),
    ("/lxc.payload/web", "", "web", ""),
    ("/lxc.payload.web/system.slice/nginx.service", "nginx.service", "web", ""),
    ("/lxc.monitor.web", "", "", ""),
    (f"/lxc.payload.web/docker/{ID}", "", SHORT, ""),
    # systemd-nspawn, libvirt
    (f"{MACHINES}/systemd-nspawn@web.service/payload/system.slice/a.service", "systemd-nspawn@web.service", "web", ""),
    (rf"{MACHINES}/machine-web\x2dprod.scope/payload", r"machine-web\x2dprod.scope", "web-prod", ""),
    (rf"{MACHINES}/machine-qemu\x2d2\x2dvm.scope/libvirt/emulator", r"machine-qemu\x2d2\x2dvm.scope", "qemu-2-vm", ""),
    # names that only look alike
    ("/system.slice/podinfo.service", "podinfo.service", "", ""),
    ("/system.slice/lxcfs.service", "lxcfs.service", "", ""),
    (f"/build/{ID[:40]}", "", "", ""),
]


@pytest.mark.parametrize(("path", "unit", "container", "pod"), PATHS)
def test_a_path_tells_unit_container_and_pod(path: str, unit: str, container: str, pod: str) -> None:
    assert parse(path) == Cgroup(path, unit, container, pod)


def test_the_id_of_a_real_cgroup_gives_its_path() -> None:
    with new_cgroup("ss_pusher_test.slice") as above, new_cgroup("web.service", above) as below:
        found = Cgroups(Path("/"), lambda: 0.0).look_up([0, above.stat().st_ino, below.stat().st_ino, 1])
    assert [one.unit for one in found] == ["", "", "web.service", ""]
    assert [one.path for one in found] == ["", "/ss_pusher_test.slice", "/ss_pusher_test.slice/web.service", "/"]


def test_a_cgroup_keeps_its_name_after_it_is_gone_until_no_socket_was_in_it_for_long() -> None:
    now = 0.0
    cgroups = Cgroups(Path("/"), lambda: now)
    with new_cgroup("gone.service") as directory:
        number = directory.stat().st_ino
        assert cgroups.look_up([number])[0].unit == "gone.service"
    with new_cgroup("another.service") as directory:
        now = cgroup.KEEP_SECONDS * 0.9
        cgroups.look_up([directory.stat().st_ino])
        assert cgroups.look_up([number])[0].unit == "gone.service"
    now += cgroup.KEEP_SECONDS * 0.9
    assert cgroups.look_up([number])[0].unit == "gone.service"
    now += cgroup.KEEP_SECONDS * 1.1
    assert cgroups.look_up([number])[0] == cgroup.UNKNOWN


def test_the_tree_is_walked_only_for_an_id_that_was_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = []
    walk = cgroup.walk

    def counted_walk(mount: Path) -> dict[int, str]:
        walks.append(mount)
        return walk(mount)

    monkeypatch.setattr(cgroup, "walk", counted_walk)
    cgroups = Cgroups(Path("/"), lambda: 0.0)
    with new_cgroup("one.service") as one, new_cgroup("two.service") as two:
        cgroups.look_up([one.stat().st_ino])
        assert cgroups.look_up([two.stat().st_ino, one.stat().st_ino, 0])[0].unit == "two.service"
        assert len(walks) == 1
        assert cgroups.look_up([1 << 60]) == cgroups.look_up([1 << 60]) == [cgroup.UNKNOWN]
        assert len(walks) == 2


def test_an_id_that_shows_up_while_the_walk_rests_is_named_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    walk = cgroup.walk

    def slow_walk(mount: Path) -> dict[int, str]:
        nonlocal now
        now += 2.0
        return walk(mount)

    monkeypatch.setattr(cgroup, "walk", slow_walk)
    cgroups = Cgroups(Path("/"), lambda: now)
    cgroups.look_up([1 << 60])
    with new_cgroup("late.service") as late:
        number = late.stat().st_ino
        now = 19.9
        assert cgroups.look_up([number]) == [cgroup.UNKNOWN]
        now = 20.0
        assert cgroups.look_up([number])[0].unit == "late.service"


def mountinfo(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def test_the_mount_is_found_on_a_hybrid_host_and_under_a_name_with_a_blank(tmp_path: Path) -> None:
    mountinfo(
        tmp_path,
        "23 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw",
        "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd",
        r"41 31 0:38 / /sys/fs/my\040groups rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw",
    )
    assert cgroup.mount_point(tmp_path) == tmp_path / "sys/fs/my groups"


@pytest.mark.parametrize("has_cgroup2", [False, True])
def test_a_host_without_a_cgroup2_tree_is_said_once_and_everything_is_empty(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    has_cgroup2: bool,  # noqa: FBT001 - pytest hands it in by name
) -> None:
    mountinfo(tmp_path, "40 31 0:37 / /cg rw - " + ("cgroup2 cgroup2 rw" if has_cgroup2 else "cgroup cgroup rw,cpu"))
    (tmp_path / "cg").mkdir()
    cgroups = Cgroups(tmp_path, lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        assert cgroups.look_up([1, 2]) == [cgroup.UNKNOWN] * 2
        assert cgroups.look_up([3]) == [cgroup.UNKNOWN]
    assert len(caplog.records) == 1
    assert "cgroup2" in caplog.text


def test_a_directory_that_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    assert sorted(cgroup.walk(tmp_path).values()) == ["/", "/a", "/a/b"]
    assert cgroup.walk(tmp_path / "none") == {}
