"""Which groups are worth series of their own: one file a ranking."""

from ss_pusher.select.budget import Limit
from ss_pusher.select.prefix import Prefixes
from ss_pusher.select.rankings import RANKINGS, Ranking, ranking
from ss_pusher.select.report import Report
from ss_pusher.select.selection import Selection

__all__ = ["RANKINGS", "Limit", "Prefixes", "Ranking", "Report", "Selection", "ranking"]
