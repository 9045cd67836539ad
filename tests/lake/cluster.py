"""A PostgreSQL of the tests' own: a cluster in a temporary folder, reached by a socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_SECONDS = 60.0


def programs() -> Path | None:
    """The folder of PostgreSQL's programs: the newest that the system has."""
    found = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if _has(folder)]
    if found:
        return max(found, key=lambda folder: int(folder.parent.name.partition(".")[0]))
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def _has(folder: Path) -> bool:
    return (folder / "initdb").exists() and (folder / "postgres").exists()


class Cluster:
    """Started, killed and started again as a test wants it."""

    def __init__(self, *, fsync: bool = False) -> None:
        folder = programs()
        assert folder is not None, "PostgreSQL is not installed: make .venv-lake/.postgres"
        self._bin = folder
        # PostgreSQL refuses to run as root.
        self._as = _other_user() if os.getuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="otel-pg-"))
        if self._as:
            shutil.chown(self.folder, self._as["user"], self._as["group"])
        self._databases = 0
        self._fsync = fsync
        self._run(
            "initdb", "-D", str(self._data), "-A", "trust", "-U", "lake", "--no-sync",
            "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=_SECONDS, check=False, **self._as,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}\n{done.stderr}"

    def start(self) -> None:
        """Starts it; what a kill left of the one before may take a moment to go."""
        log = self.folder / "log"
        options = " ".join(
            f"-c {option}"
            for option in (
                "listen_addresses=", f"unix_socket_directories={self.folder}",
                f"fsync={'on' if self._fsync else 'off'}",
                "log_lock_waits=on",
            )
        )  # fmt: skip
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                self._run(
                    "pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(log), "-o", options
                )
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def kill(self) -> None:
        """kill -9 of the server; its sessions end as they notice."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends it and removes all of it."""
        self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        """A new database; what libpq takes to reach it."""
        self._databases += 1
        name = f"lake_{self._databases}"
        self._run("createdb", "-h", str(self.folder), "-U", "lake", name)
        return f"host={self.folder} user=lake dbname={name}"


def _other_user() -> dict[str, Any]:
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise AssertionError("there is no user that PostgreSQL could run as")
