"""A lake: what many stores hold, in one place that many hosts write to and read.

DuckLake keeps the rows as Parquet files and says in PostgreSQL which of them count. Each host has
its own store as before, and publishes to the lake what is settled there.
"""
