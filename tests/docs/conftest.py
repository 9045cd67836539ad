"""A store to read."""

from tests.command_line import demo_store

__all__ = ["demo_store"]
