"""How fast the store grows, what that comes to, and what is beyond the settings of retention."""

from __future__ import annotations

from typing import Any, Final

from otel_learning.cli.output import size
from otel_learning.settings import Settings
from otel_learning.store.database import LearningDatabase
from otel_learning.store.ledger_files import LedgerFiles
from otel_learning.store.retention import BEYOND, DAY_SECONDS

WARN_BYTES: Final = 5 * 1000**3
"""Store and ledger together, where RETENTION_BYTES says nothing."""
FORECAST_DAYS: Final = 30

# A store younger than a week is judged by the days that it has, the first one whole.
_GROWTH: Final = """
SELECT
    count(*),
    count(*) FILTER (recorded_at >= now() - INTERVAL 7 DAY)
        / greatest(1, least(7, epoch(now() - min(recorded_at)) / 86400))
FROM executions
"""


def growth(database: LearningDatabase, chosen: Settings) -> dict[str, Any]:
    """Growth per day over the last week, the size in a month, and warnings.

    Bytes per day are what an execution takes on the average, times the executions per day.
    """
    total, per_day = database.sql(_GROWTH)[0]
    file_bytes = database.path.stat().st_size
    now_bytes = file_bytes + LedgerFiles(database.path).size()
    bytes_per_day = round(file_bytes / total * per_day) if total else 0
    forecast = now_bytes + FORECAST_DAYS * bytes_per_day
    beyond = 0
    if chosen.retention_days is not None:
        beyond = int(database.sql(BEYOND, [chosen.retention_days * DAY_SECONDS])[0][0])
    return {
        "growth_executions_per_day": round(per_day or 0.0, 2),
        "growth_bytes_per_day": bytes_per_day,
        "forecast_bytes_30_days": forecast,
        "beyond_retention": beyond,
        "warnings": _warnings(chosen, now_bytes, forecast, beyond),
    }


def _warnings(chosen: Settings, now_bytes: int, forecast: int, beyond: int) -> list[str]:
    limit = chosen.retention_bytes or WARN_BYTES
    found = []
    if now_bytes > limit:
        found.append(
            f"store and ledger take {size(now_bytes)}, over {size(limit)}; "
            "otel-learning archive --older-than 90d moves what is old out of the way"
        )
    elif forecast > limit:
        found.append(
            f"in {FORECAST_DAYS} days store and ledger will take some {size(forecast)}, "
            f"over {size(limit)}"
        )
    if beyond:
        found.append(
            f"{beyond} executions are older than {chosen.retention_days:g} days; "
            "otel-learning archive takes them out"
        )
    return found
