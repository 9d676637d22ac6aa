"""Names for sockets: who opened them, which service, unit, container, process and network they belong to."""

from ss_pusher.attribute.attributes import LABELS, Attributes
from ss_pusher.attribute.attributor import Attributor
from ss_pusher.attribute.networks import Prefix

__all__ = ["LABELS", "Attributes", "Attributor", "Prefix"]
