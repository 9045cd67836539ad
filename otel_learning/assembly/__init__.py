"""Observations -> executions: which observations belong together, and what they say. Pure."""
