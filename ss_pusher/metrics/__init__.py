"""Every metric of flows and of the host: one file a theme."""
