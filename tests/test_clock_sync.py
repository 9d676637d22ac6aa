"""Whether a clock can be believed."""

import ctypes
import time
from pathlib import Path

import pytest

from ss_pusher import clock_sync
from ss_pusher.clock_sync import SETTLED, believed, synchronised


@pytest.mark.parametrize("told", [True, False])
def test_on_a_host_that_started_a_moment_ago_the_kernel_decides(*, told: bool, tmp_path: Path) -> None:
    assert believed(lambda: SETTLED - 1, lambda: told, tmp_path / "nobody") is told


def test_where_the_kernel_does_not_tell_timesyncd_does(tmp_path: Path) -> None:
    assert not believed(lambda: 1.0, lambda: None, tmp_path)
    (tmp_path / "synchronized").touch()
    assert believed(lambda: 1.0, lambda: None, tmp_path)


def test_where_nobody_tells_the_clock_is_believed(tmp_path: Path) -> None:
    assert believed(lambda: 1.0, lambda: None, tmp_path / "nobody")


def test_after_a_while_it_is_believed_whatever_is_told(tmp_path: Path) -> None:
    assert believed(lambda: SETTLED, lambda: False, tmp_path)


def test_the_kernel_tells_what_adjtimex_tells() -> None:
    # In struct timex, Linux include/uapi/linux/timex.h, `status` follows modes, offset, freq, maxerror and esterror.
    timex = (ctypes.c_long * 26)()
    state = ctypes.CDLL(None).adjtimex(timex)
    not_synchronised = bool(ctypes.c_int.from_buffer(timex, 5 * ctypes.sizeof(ctypes.c_long)).value & 0x40)
    assert state in range(6)
    assert synchronised() is not not_synchronised


def test_uptime_is_that_of_the_host() -> None:
    asked: list[float] = []

    def kernel() -> bool:
        asked.append(0.0)
        return False

    settled = time.clock_gettime(time.CLOCK_BOOTTIME) >= clock_sync.SETTLED
    assert believed(kernel=kernel) is settled
    assert bool(asked) is not settled
