"""Tune: studies whose trials are runs, and the report of a study."""
