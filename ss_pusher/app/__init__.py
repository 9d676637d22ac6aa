"""The composition root: the only place that knows all stages, and makes a running agent of a configuration."""
