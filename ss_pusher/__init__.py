"""TCP health for the hosts that nobody can scrape, pushed to Prometheus and its relatives."""

__version__ = "0.1.0"
