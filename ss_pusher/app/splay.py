"""Where in the interval a host ticks, so that a fleet does not push all at once."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from socket import gethostname
from typing import Final

_BYTES: Final = 6  # a float holds so many exactly


def splay(host: str, external_labels: Mapping[str, str]) -> float:
    """A share of the interval in [0, 1): always the same for a host and its labels, evenly spread over many of them."""
    name = repr((host, sorted(external_labels.items())))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:_BYTES]) / 256**_BYTES


def this_host(root: Path = Path("/")) -> str:
    """What tells this host from others: its machine-id(5), or its name where it has none."""
    try:
        return (root / "etc/machine-id").read_text(encoding="utf-8", errors="replace").strip() or gethostname()
    except OSError:
        return gethostname()
