"""Snapshots into request bodies: pure functions on columns and bytes."""
