"""Tests of the schema: its steps up and back, rollups, what `migrate` says."""
