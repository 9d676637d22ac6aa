"""Network namespaces of a real host: named ones, and those that only processes keep."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ss_pusher.netlink.namespaces import Namespace, find, own
from tests import needs
from tests.hosts import Host
from tests.waiting import wait_for


@contextmanager
def process_of_its_own() -> Iterator[int]:
    """A process in a namespace without a name: the namespace's inode."""
    needs.root()
    command = [needs.command("unshare"), "--net", needs.command("sleep"), "infinity"]
    with subprocess.Popen(command) as process:
        namespace = Path(f"/proc/{process.pid}/ns/net")
        try:
            wait_for(lambda: namespace.stat().st_ino != own().inode, "the process has its namespace")
            yield namespace.stat().st_ino
        finally:
            process.kill()


def test_the_own_one_has_no_name() -> None:
    assert find(["self"], own()) == [own()]
    assert own().inode == Path("/proc/self/ns/net").stat().st_ino


def test_named_ones_are_found_by_their_name_and_without_the_own(host: Host) -> None:
    found = {namespace.name: namespace for namespace in find(["named"], own())}
    assert found[host.name].inode == Path("/run/netns", host.name).stat().st_ino
    assert own().inode not in {namespace.inode for namespace in found.values()}


def test_all_are_those_that_processes_live_in_each_once(host: Host) -> None:
    with process_of_its_own() as inode:
        found = find(["all"], own())
    assert len({namespace.inode for namespace in found}) == len(found)
    names = {namespace.inode: namespace.name for namespace in found}
    assert names[own().inode] == ""
    assert names[inode] == f"net:[{inode}]"
    assert host.name not in names.values()  # nobody lives there


def test_one_that_is_named_and_lived_in_has_its_name(host: Host) -> None:
    with subprocess.Popen(host.command(needs.command("sleep"), "infinity")) as process:
        namespace = Path(f"/proc/{process.pid}/ns/net")
        try:
            wait_for(lambda: namespace.stat().st_ino != own().inode, "the process is in the namespace")
            found = [one.name for one in find(["named", "all", "self"], own()) if one.inode == namespace.stat().st_ino]
        finally:
            process.kill()
    assert found == [host.name]


def test_what_is_done_inside_stays_inside(host: Host) -> None:
    inside = next(one for one in find(["named"], own()) if one.name == host.name)
    with inside.call(lambda: socket.create_server(("127.0.0.1", 0))) as listener:
        assert str(listener.getsockname()[1]) in host.run(needs.command("ss"), "-tlnH")
    assert Path("/proc/thread-self/ns/net").stat().st_ino == own().inode != inside.inode


def test_one_whose_path_leads_elsewhere_now_is_gone(host: Host) -> None:
    other = Namespace(own().inode + 1, "other", Path("/run/netns", host.name))
    with pytest.raises(FileNotFoundError):
        other.call(os.getpid)


def test_a_file_that_is_no_namespace_is_none(tmp_path: Path) -> None:
    (tmp_path / "run/netns").mkdir(parents=True)
    (tmp_path / "run/netns/stale").touch()
    assert find(["named"], own(), tmp_path) == []
