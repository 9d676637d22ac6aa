"""Requests to servers: deadlines, verdicts, one thread an endpoint."""
