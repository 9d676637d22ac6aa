"""A receiver for looking: strict about remote write 1.0 and 2.0 and about the Pushgateway's calls."""

from ss_pusher.receiver.inbox import Answer, Arrival, Inbox
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.pushgateway import Group, PushedFamily
from ss_pusher.receiver.remote_write import Metadata, Sample
from ss_pusher.receiver.server import Receiver

__all__ = ["Answer", "Arrival", "Group", "Histogram", "Inbox", "Metadata", "PushedFamily", "Receiver", "Sample"]
