"""The receiver as a command: what arrives is told on stdout."""

import sys

from ss_pusher.config.invalid import InvalidError
from ss_pusher.config.network import parse_listen_address
from ss_pusher.errors import ConfigError
from ss_pusher.receiver import Receiver
from ss_pusher.stop import stop_on_signals


def receive(listen: str) -> None:
    """Take what is sent to `listen` (HOST:PORT) until SIGTERM or SIGINT, a line for each request.

    Raises:
        ConfigError: that is no address.
        AddressInUseError: it is taken, or not this host's.
    """
    try:
        address = parse_listen_address(listen)
    except InvalidError as error:
        raise ConfigError([f"--listen: {listen!r} {error}"]) from None
    if address is None:
        raise ConfigError(["--listen: is empty; write HOST:PORT, like 127.0.0.1:9090"])
    with stop_on_signals() as stop, Receiver((address.host, address.port), report=_say) as receiver:
        _say(f"listening: remote write at {receiver.url}/api/v1/write, a Pushgateway at {receiver.url}")
        _say(f"what arrived stands at {receiver.url}/")
        stop.wait()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
