"""TCP health for the hosts that nobody can scrape, pushed to Prometheus and its relatives."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ss_pusher.app.job import Job as job  # noqa: N813 - it reads as `with ss_pusher.job("nightly-etl"):`

__all__ = ["__version__", "job"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`job`, imported when it is first used: whoever imports this package for a command must not pay for it."""
    if name != "job":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ss_pusher.app.job import Job  # noqa: PLC0415 - see above

    return Job
