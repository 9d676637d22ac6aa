"""Spools whose files were cut, flipped, overwritten or lost: what is whole is sent, in order and unaltered."""

import shutil
import tempfile
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_pusher.model import Protocol, Request
from ss_pusher.queue.record import HEADER_SIZE, MAGIC, pack
from ss_pusher.queue.spool import DAMAGED
from tests.queue.laws import request
from tests.queue.spools import Opened, numbers, opened, segments

COUNT = 6
SIZES = [10, 0, 33, 1, 20, 12]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spool with `COUNT` records in one file, the first of them acknowledged."""
    path = tmp_path_factory.mktemp("pristine") / "spool"
    with opened(path) as spool:
        for number, size in enumerate(SIZES):
            spool.queue.put(sized(number, size))
        spool.queue.lease(0.0)
        spool.queue.acknowledge()
    return path


def sized(number: int, size: int) -> Request:
    return Request(Protocol.REMOTE_WRITE_2, bytes([number]) * size, number + 1, number, number)


def ends() -> list[int]:
    """Where each record ends."""
    return [sum(HEADER_SIZE + size for size in SIZES[: index + 1]) for index in range(COUNT)]


class Copy:
    """A copy of a spool that may be damaged."""

    def __init__(self, original: Path) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.path = Path(self._directory.name) / "spool"
        shutil.copytree(original, self.path)
        (self.segment,) = segments(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def drained(self) -> tuple[list[int], Opened]:
        """What the spool still gives; each must be as it was put."""
        with opened(self.path) as spool:
            requests = spool.drain()
        for r in requests:
            assert r == sized(r.newest_ms, SIZES[r.newest_ms])
        return numbers(requests), spool


def test_a_file_cut_at_any_byte_gives_all_records_before_the_cut(pristine: Path) -> None:
    for size in range(ends()[-1]):
        with Copy(pristine) as copy:
            with copy.segment.open("r+b") as file:
                file.truncate(size)
            given_back, spool = copy.drained()

            assert given_back == [n for n in range(1, COUNT) if ends()[n] <= size], size
            assert len(spool.damaged) == (size not in ends() and size > ends()[0]), size


def test_a_flipped_bit_anywhere_costs_one_record(pristine: Path) -> None:
    whole = segments(pristine)[0].read_bytes()
    for index in range(len(whole)):
        with Copy(pristine) as copy:
            flipped = bytearray(whole)
            flipped[index] ^= 1 << index % 8
            copy.segment.write_bytes(flipped)
            given_back, spool = copy.drained()
            hit = next(n for n in range(COUNT) if index < ends()[n])
            # Three bytes of each header mean nothing, but its checksum covers them.
            assert given_back == [n for n in range(1, COUNT) if n != hit], index
            assert len(spool.damaged) == (hit > 0), index
            assert sum(samples for _, samples in spool.dropped) in (0, hit + 1), index


def test_samples_of_a_damaged_body_are_counted(pristine: Path) -> None:
    with Copy(pristine) as copy:
        data = bytearray(copy.segment.read_bytes())
        data[ends()[2] - 1] ^= 0xFF
        copy.segment.write_bytes(data)
        _, spool = copy.drained()

    assert spool.dropped == [(DAMAGED, 3)]


def test_damage_is_counted_once_though_what_follows_is_tried_again(pristine: Path) -> None:
    with Copy(pristine) as copy:
        data = bytearray(copy.segment.read_bytes())
        data[ends()[0]] ^= 0xFF
        copy.segment.write_bytes(data)
        with opened(copy.path) as spool:
            for _ in range(3):
                assert numbers(list(spool.queue.lease(0.0, 100))) == [2, 3, 4, 5]
                spool.queue.release()
            assert len(spool.damaged) == 1
        _, again = copy.drained()

    assert again.damaged == []


@pytest.mark.parametrize("name", ["position", "lock", "state.json"])
def test_any_other_file_may_be_damaged_or_lost(pristine: Path, name: str) -> None:
    with Copy(pristine) as copy:
        file = copy.path / name
        contents = file.read_bytes() if file.exists() else b""
        damaged = [b"", b"\x00" * len(contents), b"\xff" * 1000]
        damaged += [contents[:size] for size in range(len(contents))]
        damaged += [contents[:i] + bytes([contents[i] ^ 0x10]) + contents[i + 1 :] for i in range(len(contents))]
        for content in damaged:
            with Copy(pristine) as another:
                (another.path / name).write_bytes(content)
                given_back, spool = another.drained()
                assert given_back in ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])  # at worst it is sent again
                assert spool.damaged == []


def test_a_lost_position_file_costs_sending_twice(pristine: Path) -> None:
    with Copy(pristine) as copy:
        (copy.path / "position").unlink()
        assert copy.drained()[0] == [0, 1, 2, 3, 4, 5]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 60), st.binary(max_size=80)), min_size=1, max_size=4))
def test_whatever_is_cut_out_or_written_in_the_rest_comes_in_order(damage: list[tuple[int, int, bytes]]) -> None:
    data = bytearray(b"".join(pack(sized(number, size)) for number, size in enumerate(SIZES)))
    for start, length, inserted in damage:
        data[start : start + length] = inserted
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spool"
        path.mkdir()
        (path / f"{1:016x}.segment").write_bytes(data)
        with opened(path) as spool:
            given_back = spool.drain()
            spool.queue.put(request(1000))
            assert spool.drain() == [request(1000)]

    assert numbers(given_back) == sorted(set(numbers(given_back)))
    assert all(r == sized(r.newest_ms, SIZES[r.newest_ms]) for r in given_back)


@settings(deadline=None)
@given(garbage=st.binary(max_size=300), with_magic=st.booleans())
def test_a_file_of_anything_is_survived(*, garbage: bytes, with_magic: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spool"
        path.mkdir()
        (path / f"{1:016x}.segment").write_bytes(garbage.replace(b"\x00", MAGIC) if with_magic else garbage)
        with opened(path) as spool:
            spool.queue.put(request(7))
            assert numbers(spool.drain()) == [7]


def test_a_magic_across_the_edge_of_a_window_is_found(tmp_path: Path) -> None:
    window = 1 << 16
    for shift in range(-8, 8):
        path = tmp_path / str(shift)
        path.mkdir()
        (path / f"{1:016x}.segment").write_bytes(b"x" * (window + shift) + pack(request(1)) + pack(request(2)))
        with opened(path) as spool:
            assert numbers(spool.drain()) == [1, 2]
            assert len(spool.damaged) == 1


def test_a_request_of_a_protocol_that_is_not_known_yet_is_skipped(tmp_path: Path) -> None:
    future = pack(Request(99, b"body", 5, 1, 1))  # type: ignore[arg-type]  # no protocol of today
    path = tmp_path / "spool"
    path.mkdir()
    (path / f"{1:016x}.segment").write_bytes(future + pack(request(2)))
    with opened(path) as spool:
        assert numbers(spool.drain()) == [2]
        assert spool.dropped == [(DAMAGED, 5)]


def test_a_file_that_goes_away_while_it_is_open_costs_its_records(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with opened(path, max_bytes=1600) as spool:
        for number in range(8):  # two in each file
            spool.queue.put(request(number))
        segments(path)[1].unlink()
        assert numbers(spool.drain()) == [0, 1, 4, 5, 6, 7]
        assert len(spool.damaged) == 1


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    with opened(path, max_bytes=1600) as spool:
        for number in range(4):
            spool.queue.put(request(number))
    return path


def test_an_empty_file_among_the_others_is_none(two_files: Path) -> None:
    first, second = segments(two_files)
    first.write_bytes(b"")
    with opened(two_files) as spool:
        assert numbers(spool.drain()) == [2, 3]
    assert not second.exists()


def test_damage_in_every_record_does_not_fill_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spool"
    records = [bytearray(pack(request(number))) for number in range(101)]
    for record in records:
        record[-1] ^= 0xFF
    path.mkdir()
    (path / f"{1:016x}.segment").write_bytes(b"".join(records))
    with opened(path) as spool:
        assert spool.drain() == []
        assert len(spool.damaged) == 101
        assert caplog.messages == [f"{path}: damaged records were skipped: 1"] * 2

    assert caplog.messages[2:] == [f"{path}: damaged records were skipped: 99"]  # at the end, at the latest


def test_damage_is_said_again_after_an_hour_with_what_was_not_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool"
    now = 0.0
    with opened(path, monotonic=lambda: now) as spool:
        for number in range(10):
            now = 400.0 * number
            spool.queue.put(request(number))
            (segment,) = segments(path)
            data = bytearray(segment.read_bytes())
            data[-1] ^= 0xFF
            segment.write_bytes(data)
            assert spool.drain() == []
        said = [int(message.rpartition(" ")[2]) for message in caplog.messages]

    assert said == [1, 1, 8]
