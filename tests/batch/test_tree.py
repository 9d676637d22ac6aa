"""Processes and their descendants."""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.batch.tree import ProcessTree, descendants, parents

PIDS = st.integers(1, 12)


@given(st.dictionaries(PIDS, PIDS, max_size=12), PIDS)
def test_a_descendant_is_who_reaches_the_root_by_its_parents(parent_of: dict[int, int], root: int) -> None:
    def reaches(pid: int) -> bool:
        seen: set[int] = set()
        while pid in parent_of and pid not in seen:
            seen.add(pid)
            pid = parent_of[pid]
            if pid == root:
                return True
        return False

    assert descendants(root, parent_of) == {pid for pid in parent_of if pid != root and reaches(pid)}


def test_the_kernels_processes_have_their_parents() -> None:
    """A name may hold anything, brackets and spaces too."""
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; open('/proc/self/comm', 'w').write(') R 1 (x'); print('ready', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert parents()[child.pid] == os.getpid()
        child.communicate(b"\n")


def test_what_is_held_now_is_of_the_processes_that_were_found_last() -> None:
    tree = ProcessTree(os.getpid(), lambda pid: [pid], with_root=True)
    assert tree.held_now() == {os.getpid()}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert child.pid not in tree.held_now()
        assert {os.getpid(), child.pid} <= tree.held()
        assert child.pid in tree.held_now()
        child.communicate()


def test_the_wrapper_itself_is_no_part_of_its_job() -> None:
    assert os.getpid() not in ProcessTree(os.getpid(), lambda pid: [pid], with_root=False).held()
