"""Whether a connection was opened, as the kernel counts."""

import socket
from pathlib import Path

from ss_pusher.batch.opens import Opens
from tests.hosts import Host


def test_only_a_connection_is_a_change(host: Host) -> None:
    def look() -> list[bool]:
        opens = Opens()
        answers = [opens.changed(), opens.changed()]
        with socket.create_server(("127.0.0.1", 0)) as server:
            answers.append(opens.changed())
            with socket.create_connection(server.getsockname()):
                answers += [opens.changed(), opens.changed()]
        opens.close()
        return answers

    assert host.call(look) == [True, False, False, True, False]


def test_where_nothing_can_be_read_the_answer_is_yes(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").write_text("Ip: 1\n")
        opens = Opens(path)
        assert [opens.changed(), opens.changed()] == [True, True]
        opens.close()
