"""Tests of the tools for agents: the official client, real processes, naive calls."""
