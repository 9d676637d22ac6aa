"""User names."""

import os
from pathlib import Path

from ss_pusher.attribute.users import Users


def passwd(root: Path, text: str, changed_ns: int) -> None:
    path = root / "etc/passwd"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="ascii")
    os.utime(path, ns=(changed_ns, changed_ns))


def test_root_has_its_name_on_this_host() -> None:
    users = Users(Path("/"))
    users.refresh()
    assert users.name(0) == "root"


def test_a_user_without_a_name_is_a_number(tmp_path: Path) -> None:
    users = Users(tmp_path)
    users.refresh()
    assert users.name(1000) == "1000"


def test_the_first_name_of_a_number_counts_and_broken_lines_do_not(tmp_path: Path) -> None:
    passwd(tmp_path, "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\n\nbroken\n+:::\nweb:x:33:33::/:\n", 1)
    users = Users(tmp_path)
    users.refresh()
    assert [users.name(uid) for uid in (0, 33, 1)] == ["root", "web", "1"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    passwd(tmp_path, "old:x:7:7::/:\n", 1)
    users = Users(tmp_path)
    users.refresh()
    passwd(tmp_path, "new:x:7:7::/:\n", 2)
    users.refresh()
    assert users.name(7) == "new"
