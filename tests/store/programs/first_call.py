"""Asks a store from an event loop for the first time, and prints the longest pause of the loop.

Arguments: the store. Prints seconds, and whether DuckDB was loaded before the first call.
"""

import asyncio
import sys
import time

from otel_learning import AsyncLearningDatabase


async def main() -> None:
    pauses = [0.0]

    async def beat() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.05)
    loaded = {"duckdb", "pyarrow", "pydantic"} & sys.modules.keys()
    async with AsyncLearningDatabase(sys.argv[1]) as database:
        await database.executions()
    beating.cancel()
    print(max(pauses), sorted(loaded))


asyncio.run(main())
