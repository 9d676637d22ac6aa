"""The last snapshot over HTTP, for those who can be scraped after all: /metrics and /health."""

from ss_pusher.send.expose.exposition import Exposition, Format
from ss_pusher.send.expose.guard import Guard, Protection
from ss_pusher.send.expose.server import ExposeServer

__all__ = ["ExposeServer", "Exposition", "Format", "Guard", "Protection"]
