"""Interfaces by name."""

from ss_pusher.attribute.attributor import own_interfaces
from ss_pusher.attribute.interfaces import REFRESH_SECONDS, RETRY_SECONDS, Interfaces
from tests.hosts import Host


def test_the_interfaces_are_those_of_the_threads_network_namespace(host_pair: tuple[Host, Host]) -> None:
    left, _ = host_pair
    assert dict(left.call(lambda: own_interfaces("")))[1] == "lo"
    assert len(left.call(lambda: list(own_interfaces("")))) == 2


class Kernel:
    """Interfaces that a test changes, and how often they were read."""

    def __init__(self) -> None:
        self.names = {1: "lo", 2: "eth0"}
        self.reads = 0
        self.gone = False

    def read(self) -> list[tuple[int, str]]:
        self.reads += 1
        if self.gone:
            raise OSError("no such namespace")
        return list(self.names.items())


def test_names_are_read_once_and_again_for_an_index_that_is_new() -> None:
    now = 0.0
    kernel = Kernel()
    interfaces = Interfaces(kernel.read, lambda: now)
    assert interfaces.look_up([2, 0, 1]) == ["eth0", "", "lo"]
    assert interfaces.look_up([1]) == ["lo"]
    assert kernel.reads == 1
    kernel.names[3] = "wg0"
    now = RETRY_SECONDS
    assert interfaces.look_up([3, 4]) == ["wg0", ""]
    assert interfaces.look_up([4]) == [""]
    assert kernel.reads == 2


def test_a_renamed_interface_has_its_new_name_after_a_while() -> None:
    now = 0.0
    kernel = Kernel()
    interfaces = Interfaces(kernel.read, lambda: now)
    assert interfaces.all() == {1: "lo", 2: "eth0"}
    kernel.names[2] = "uplink"
    now = REFRESH_SECONDS
    assert interfaces.look_up([2]) == ["uplink"]
    assert interfaces.all()[2] == "uplink"


def test_a_namespace_that_went_away_has_no_names() -> None:
    kernel = Kernel()
    kernel.gone = True
    assert Interfaces(kernel.read, lambda: 0.0).look_up([1, 2]) == ["", ""]
