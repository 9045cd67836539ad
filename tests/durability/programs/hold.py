"""Holds a DuckDB file open for writing until it is killed."""

import sys
import time

import duckdb

con = duckdb.connect(sys.argv[1])
con.execute("SELECT 1").fetchall()
print("held", flush=True)
time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 600)
con.close()
