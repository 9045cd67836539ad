"""The command line and a store to read."""

from tests.command_line import demo_store, run_cli

__all__ = ["demo_store", "run_cli"]
