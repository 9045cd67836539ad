"""Loads what DuckDB needs for a lake, from what is installed; never from the network (rule R9).

Two ways lead there. The extra `lake` brings DuckDB 1.5.5 and the extensions for it as Python
packages; the files in them are DuckDB's own, whose signature DuckDB checks when it loads them.
Or, for any release of DuckDB, an `INSTALL` was once run where the network could be reached.
"""

from __future__ import annotations

import contextlib
from importlib import resources
from typing import TYPE_CHECKING, Final

from otel_learning.errors import StoreError
from otel_learning.store.lease import quoted

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

EXTENSIONS: Final = ("postgres_scanner", "ducklake")
"""In the order in which they are loaded."""
OBJECT_STORES: Final = "httpfs"
"""Needed only where the files are in one."""


class LakeExtensionError(StoreError):
    """DuckDB's extension for lakes is not installed."""


def load(con: duckdb.DuckDBPyConnection) -> None:
    """Loads the extensions into a connection's database.

    Raises:
        LakeExtensionError: they are not installed; both ways to install them are in the hint.
    """
    import duckdb

    con.execute("SET autoinstall_known_extensions = false")
    con.execute("SET autoload_known_extensions = false")
    for name in EXTENSIONS:
        try:
            con.execute(f"LOAD {_place(name)}")
        except duckdb.Error as error:
            raise LakeExtensionError(
                f"DuckDB {duckdb.__version__} has no extension {name!r}",
                "pip install otel-learning[lake] in an environment of its own, which brings "
                "DuckDB 1.5.5; or, where extensions can be downloaded, once: "
                'python -c "import duckdb; '
                "[duckdb.execute('INSTALL ' + name) for name in ('postgres', 'ducklake')]\"",
            ) from error
    with contextlib.suppress(duckdb.Error):
        con.execute(f"LOAD {_place(OBJECT_STORES)}")


def _place(name: str) -> str:
    file = _packaged(name)
    return name if file is None else quoted(file)


def _packaged(name: str) -> Path | None:
    """The extension's file in its Python package, where that is for this release of DuckDB."""
    import duckdb

    try:
        folder = resources.files(f"duckdb_extension_{name}")
    except ModuleNotFoundError:
        return None
    with resources.as_file(folder) as place:
        found = sorted(place.rglob(f"v{duckdb.__version__}/**/{name}.duckdb_extension"))
        return found[0] if found else None
