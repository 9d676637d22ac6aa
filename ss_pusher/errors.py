"""The one tree of exceptions. What is expected of the outside world is a value instead (see `send.verdict`)."""


class SsPusherError(Exception):
    """Root of everything this package raises on purpose; the text is meant for the user."""


class ConfigError(SsPusherError):
    """The configuration cannot be used. `problems` holds every reason, each with its place in the file."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CollectError(SsPusherError):
    """A read of the kernel's sockets failed or was cut short: this tick knows nothing."""


class UnsupportedHostError(SsPusherError):
    """This host cannot do it at all: not Linux, or a kernel without sock_diag."""


class EncodeError(SsPusherError):
    """A snapshot cannot be expressed in the sink's format."""


class SpoolError(SsPusherError):
    """A spool cannot be opened: its directory cannot be used, or another process has it."""


class SpoolInUseError(SpoolError):
    """Another process of the same user has the spool."""


class AddressInUseError(SsPusherError):
    """A listening address is taken or not ours."""
