"""Exports the store: Parquet or CSV files in a folder, or a read copy as one DuckDB file.

What is exported is copied into a draft first, and the store's file is let go of; the draft is
checked, and takes its place by a rename. So a reader sees the old export or the new one, whole,
and one that has the old file open keeps it. A kill leaves the old one, and a draft that the next
export removes.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from otel_learning.errors import InputError, OtelLearningError, StoreMissingError
from otel_learning.store import copying, lease, schema
from otel_learning.store.copying import CopyError, beside
from otel_learning.store.drain import Drainer, DrainSettings
from otel_learning.store.export_rows import Selection, checked, relation
from otel_learning.store.failpoints import failpoint

if TYPE_CHECKING:
    import duckdb

Format = Literal["parquet", "csv", "duckdb"]
TIMEOUT_SECONDS: Final = 30.0
MANIFEST: Final = "export.json"
"""Says in a folder what was exported, and that the files beside it may be replaced."""
MARK: Final = "read_copy"
"""The table that says the same in a DuckDB file."""
_WRITTEN: Final = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER"}

_DRAFTS: Final = "export"
"""In the name of the drafts in a folder."""


@dataclass(frozen=True, slots=True)
class Export:
    """What to write, and where."""

    destination: Path
    """A file for `duckdb`, else a folder."""
    format: Format
    selection: Selection
    group_readable: bool = False
    """Whether the group of the files may read them too."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export."""

    path: Path
    rows: dict[str, int]
    """Of each table."""
    bytes: int
    made_at: datetime


def export(
    path: Path,
    what: Export,
    *,
    settings: DrainSettings | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Exported:
    """Brings in what waits, then writes what was asked for; an earlier export is replaced.

    Args:
        path: the store.
        what: which rows, in which format, to which place.
        settings: how to drain.
        timeout_seconds: how long to wait for the store.

    Raises:
        InputError: something that is no export of ours is at the destination.
        StoreMissingError: there is no store.
        StoreLockedError: it was not free in time.
        DiskFullError: there is no room; nothing was changed.
        CopyError: what was written does not read back; nothing was changed.
        StoreError: the store cannot be read, or the export cannot be written.
    """
    if not path.exists():
        raise StoreMissingError(f"there is no store at {path}", "name one with --db")
    Drainer(path, settings).drain(timeout_seconds)
    with lease.exclusive(path, timeout_seconds):
        return write(path, what, timeout_seconds)


def write(path: Path, what: Export, timeout_seconds: float) -> Exported:
    """The same without draining, only inside `lease.exclusive`.

    It is held to the end: what is erased meanwhile would otherwise come back with the rename.
    """
    selection = checked(what.selection)
    destination = what.destination.expanduser().resolve()
    _refuse_foreign(path, destination, what.format, timeout_seconds)
    one_file = what.format == "duckdb"
    folder = destination.parent if one_file else destination
    place = destination if one_file else destination / _DRAFTS
    folder.mkdir(parents=True, exist_ok=True, mode=0o750 if what.group_readable else 0o700)
    made_at = datetime.now(UTC)
    # Recorded first, so that `forget` knows also of what a kill leaves half done.
    _record(path, destination, made_at, timeout_seconds)
    with (
        copying.database_errors(path),
        copying.draft_folder(place) as drafts,
    ):
        copying.need_room(drafts, copying.size_of(path))
        failpoint("export: begun")
        draft = drafts / "rows.duckdb"
        rows = _copy(path, draft, selection, made_at, timeout_seconds)
        failpoint("export: copied")
        if one_file:
            files = {destination.name: draft}
            _check_copy(draft, rows, timeout_seconds)
        else:
            files = _files(draft, drafts, what.format, rows, timeout_seconds)
            files[MANIFEST] = _manifest(drafts, path, what.format, selection, made_at, rows)
        mode = 0o640 if what.group_readable else 0o600
        for file in files.values():
            _finish(file, mode)
        failpoint("export: verified")
        outdated = () if one_file else _named_before(folder)
        for name, file in files.items():
            # A log of the file that was there must not be read into this one.
            beside(folder / name, ".wal").unlink(missing_ok=True)
            file.rename(folder / name)
            failpoint("export: between renames")
        for name in set(outdated) - files.keys():
            (folder / name).unlink(missing_ok=True)
    total = sum((folder / name).stat().st_size for name in files)
    return Exported(destination, {t: count for t, (count, _) in rows.items()}, total, made_at)


def remove_unfinished(destination: Path) -> None:
    """Removes what killed exports to that place left half done. Only inside `lease.exclusive`."""
    copying.sweep(destination.parent, destination.name)
    copying.sweep(destination, _DRAFTS)


def renew(path: Path, destination: Path, timeout_seconds: float) -> bool:
    """Makes a read copy of this store anew, with what it had; False where it is none.

    Only inside `lease.exclusive`, say after something was erased.
    """
    try:
        marked = _mark_of(destination, timeout_seconds)
        if marked is None or marked["store"] != str(path):
            return False
        what = Export(
            destination, "duckdb",
            Selection(tuple(marked["tables"]), marked["since"], marked["until"],
                      marked["archived"]),
            group_readable=bool(destination.stat().st_mode & 0o040),
        )  # fmt: skip
        write(path, what, timeout_seconds)
    except (OtelLearningError, OSError):
        return False
    return True


# ------------------------------------------------------------------------------- the rows


Contents = dict[str, tuple[int, str]]
"""Rows and checksum of each table."""


def _copy(
    path: Path, draft: Path, selection: Selection, made_at: datetime, timeout_seconds: float
) -> Contents:
    """Copies the rows into a new file, and returns what is in it.

    Others can read the store meanwhile; it is let go of before anything is checked.
    """
    copied: dict[str, int] = {}
    with lease.attached(path, timeout_seconds) as con:
        con.execute(f"SET temp_directory = {lease.quoted(draft.with_name('spilled'))}")
        con.execute(
            f"ATTACH {lease.quoted(draft)} AS draft (STORAGE_VERSION '{lease.STORAGE_VERSION}', "
            f"BLOCK_SIZE {lease.BLOCK_BYTES})"
        )
        con.execute("USE store")
        for table in selection.tables:
            made = lease.one(
                con, f"CREATE TABLE draft.main.{table} AS {relation(table, selection)}"
            )
            copied[table] = int(made[0]) if made else 0
            failpoint("export: table copied")
        version = lease.one(con, "SELECT max(version) FROM schema_migrations")
        con.execute("USE memory")
        con.execute("DETACH store")
        con.execute(
            f"CREATE TABLE draft.main.{MARK} (store VARCHAR, made_at TIMESTAMPTZ, "
            "since TIMESTAMPTZ, until TIMESTAMPTZ, archived BOOLEAN, tables VARCHAR[], "
            "schema_version INTEGER)"
        )
        con.execute(
            f"INSERT INTO draft.main.{MARK} VALUES (?, ?, ?, ?, ?, ?, ?)",
            [str(path), made_at, selection.since, selection.until, selection.archived,
             list(selection.tables), version[0] if version else None],
        )  # fmt: skip
        found = _contents(con, "draft", selection.tables)
        con.execute("DETACH draft")
    for table, count in copied.items():
        if found[table][0] != count:
            raise CopyError(f"the copy of {table} does not hold {count} rows", "try it again")
    return found


def _contents(con: duckdb.DuckDBPyConnection, catalog: str, tables: tuple[str, ...]) -> Contents:
    return {table: _content(con, f"{catalog}.main.{table}") for table in tables}


def _content(con: duckdb.DuckDBPyConnection, relation: str) -> tuple[int, str]:
    """Rows, and the sum of their hashes, which does not depend on their order.

    DuckDB's own hash takes a thirtieth of a digest's time, and is compared at once: another
    release may compute another one.
    """
    query = f"SELECT count(*), CAST(coalesce(sum(hash(r)), 0) AS VARCHAR) FROM {relation} AS r"
    rows, checksum = lease.one(con, query) or (0, "0")
    return int(rows), str(checksum)


def _check_copy(draft: Path, rows: Contents, timeout_seconds: float) -> None:
    """Raises CopyError unless the file, opened anew, holds what was written into it."""
    with lease.attached(draft, timeout_seconds) as con:
        if _contents(con, "store", tuple(rows)) != rows:
            raise CopyError(f"the copy {draft} does not read back", "check the disk; try it again")


def _files(
    draft: Path, drafts: Path, form: Format, rows: Contents, timeout_seconds: float
) -> dict[str, Path]:
    """Writes each table of the draft as a file, reads it back, and removes the draft."""
    files = {}
    with lease.attached(draft, timeout_seconds) as con:
        for table, (count, checksum) in rows.items():
            file = drafts / f"{table}.{form}"
            con.execute(f"COPY store.main.{table} TO {lease.quoted(file)} ({_WRITTEN[form]})")
            if form == "parquet":
                read = f"read_parquet({lease.quoted(file)})"
                sound = _content(con, read) == (count, checksum)
            else:
                # Text has no types, so only its rows can be compared.
                read = f"read_csv({lease.quoted(file)}, all_varchar = true, header = true)"
                sound = lease.one(con, f"SELECT count(*) FROM {read}") == (count,)
            if not sound:
                raise CopyError(f"{file.name} does not read back", "check the disk; try it again")
            files[file.name] = file
            failpoint("export: file written")
    draft.unlink()
    return files


def _manifest(
    drafts: Path, path: Path, form: Format, selection: Selection, made_at: datetime, rows: Contents
) -> Path:
    said = {
        "store": str(path),
        "made_at": made_at.isoformat(),
        "since": selection.since and selection.since.isoformat(),
        "until": selection.until and selection.until.isoformat(),
        "archived": selection.archived,
        "files": {f"{table}.{form}": count for table, (count, _) in rows.items()},
    }
    file = drafts / MANIFEST
    file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return file


# ------------------------------------------------------------------------------ the place


def _refuse_foreign(path: Path, destination: Path, form: Format, timeout_seconds: float) -> None:
    """Raises InputError where something is at the destination that is no export of ours."""
    refused = InputError(
        f"there is something at {destination} that no export has written",
        f"name a {'file' if form == 'duckdb' else 'folder'} that does not exist",
    )
    if destination == path:
        raise InputError(f"{destination} is the store itself", "name another file")
    if form == "duckdb":
        if destination.exists() and _mark_of(destination, timeout_seconds) is None:
            raise refused
    elif destination.exists() and (
        not destination.is_dir()
        or not (_is_ours(destination / MANIFEST) or not _visible(destination))
    ):
        raise refused


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, but for the drafts of an export that was killed."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".draft-")]


def _is_ours(manifest: Path) -> bool:
    return _said_in(manifest) is not None


def _said_in(manifest: Path) -> dict[str, Any] | None:
    try:
        said = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("files"), dict) else None


def _named_before(folder: Path) -> tuple[str, ...]:
    """Files of the export that was here; only names of ours, whatever the manifest says."""
    said = _said_in(folder / MANIFEST) or {"files": {}}
    endings = tuple(f".{form}" for form in _WRITTEN)
    return tuple(n for n in said["files"] if n.endswith(endings) and Path(n).name == n)


def _mark_of(file: Path, timeout_seconds: float) -> dict[str, Any] | None:
    """What a read copy says of itself; None where the file is none, or cannot be opened."""
    import duckdb

    try:
        with lease.attached(file, timeout_seconds) as con:
            found = con.execute(f"FROM store.main.{MARK}")
            names = [column[0] for column in found.description or []]
            rows = found.fetchall()
    except (duckdb.Error, OtelLearningError, OSError):
        return None
    return dict(zip(names, rows[0], strict=True)) if len(rows) == 1 else None


def _record(path: Path, destination: Path, made_at: datetime, timeout_seconds: float) -> None:
    with copying.database_errors(path):
        with lease.connection(path, timeout_seconds, read_only=True) as con:
            rows = con.execute("SELECT path FROM backups").fetchall()
        if (str(destination),) in rows:
            return  # what goes on every minute does not keep readers out for this
        with lease.connection(path, timeout_seconds) as con:
            schema.upgrade(con, str(path))
            con.execute("INSERT INTO backups VALUES (?, ?)", [str(destination), made_at])


def _finish(file: Path, mode: int) -> None:
    """Sets a draft's mode and brings it to the disk: after a rename the old file is gone."""
    with contextlib.suppress(FileNotFoundError):
        beside(file, ".wal").unlink()
    file.chmod(mode)
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
