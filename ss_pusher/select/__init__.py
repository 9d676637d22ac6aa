"""Which groups are worth series of their own: one file a ranking."""
