"""Durability, concurrency, faults: rules R1, R2, R5, R6."""
