"""The file that says how far a spool was acknowledged."""

import os
from pathlib import Path

from ss_pusher.queue.position import Position, PositionFile


def opened(path: Path) -> PositionFile:
    return PositionFile(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def position(path: Path) -> Position:
    file = opened(path)
    file.close()
    return file.position


def test_the_last_position_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "position"
    file = opened(path)
    assert file.position == Position(0, 0)
    for offset in range(5):
        file.write(Position(7, offset))
        assert position(path) == Position(7, offset)
    file.close()


def test_damage_to_any_byte_leaves_this_position_or_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "position"
    file = opened(path)
    for offset in (10, 20, 30):
        file.write(Position(7, offset))
    file.close()
    whole = path.read_bytes()
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 0x40
        path.write_bytes(damaged)
        assert position(path) in (Position(7, 20), Position(7, 30)), index


def test_the_file_never_grows(tmp_path: Path) -> None:
    path = tmp_path / "position"
    file = opened(path)
    size = path.stat().st_size
    for offset in range(100):
        file.write(Position(1, offset))
    file.close()

    assert path.stat().st_size == size
