"""Tells the service manager how the service is doing, as sd_notify(3) describes it. Without one, nothing happens."""

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Where to tell it (empty: there is nobody), and within how many seconds a sign of life is expected (0: never)."""

    address: str = ""
    watchdog: float = 0.0

    def ready(self) -> None:
        """The service has started, or has reloaded."""
        self._tell("READY=1")

    def reloading(self, monotonic_ns: int) -> None:
        """A new configuration is being taken since `monotonic_ns` (CLOCK_MONOTONIC); `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns // 1000}")

    def stopping(self) -> None:
        """The service is on its way down."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The sign of life."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell("STATUS=" + " ".join(text.split()))

    def _tell(self, message: str) -> None:
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
                telling.settimeout(0)  # the tick does not wait for a manager that is busy
                telling.sendto(message.encode(), address)
        except OSError as error:
            logger.debug("the service manager was not told %r: %s", message, error)


def service_manager(environment: Mapping[str, str], pid: int) -> ServiceManager:
    """The manager that started the process `pid`, from the variables that it set."""
    meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
    microseconds = environment.get("WATCHDOG_USEC", "") if meant else ""
    watchdog = int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() else 0.0
    return ServiceManager(environment.get("NOTIFY_SOCKET", ""), watchdog)
