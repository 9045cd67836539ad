"""What holds for every command: options, streams, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import Run

READING = (
    ["query", "SELECT 1"], ["status"], ["doctor"], ["feedback", "x", "--accepted"],
    ["explain", "--task-id", "x"],
)  # fmt: skip
COMMANDS = ("demo", "doctor", "explain", "feedback", "import", "query", "status")


@pytest.mark.parametrize("command", READING, ids=lambda c: c[0])
def test_reading_creates_nothing(run_cli: Run, tmp_path: Path, command: list[str]) -> None:
    """A command that reads ends with 3 where there is no store, names it, and leaves no file."""
    done = run_cli(*command, "--db", "missing.duckdb")

    assert done.returncode == 3
    assert "missing.duckdb" in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_db_and_json(run_cli: Run, command: str) -> None:
    """`--db` and `--json` stand in the help of every command."""
    done = run_cli(command, "--help")

    assert done.returncode == 0
    assert "--db PATH" in done.stdout
    assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["bogus"], "bogus"),
        (["query"], "SQL"),
        (["query", "SELECT 1", "--frob"], "--frob"),
        (["feedback", "task-1"], "task-1"),
        (["query", " ; "], "empty"),
        (["feedback", "task-1", "--rating", "9"], "--rating"),
        (["feedback", "task-1", "--accepted", "--kind", "colour"], "colour"),
        (["explain"], "FILE"),
        (["explain", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_usage_errors_are_one_line(run_cli: Run, arguments: list[str], named: str) -> None:
    """A wrong argument ends with 2 and one line on stderr that names it."""
    done = run_cli(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert named in done.stderr


def test_a_profile_that_cannot_be_used_is_a_configuration_error(
    run_cli: Run, tmp_path: Path
) -> None:
    """A broken profile ends `explain` with 2, and the message names the file and the fact."""
    (tmp_path / "mine.toml").write_text('[fields]\ncolour = ["x"]\n')
    (tmp_path / "spans.jsonl").write_text("{}\n")

    done = run_cli("explain", "spans.jsonl", "--profile", "mine.toml")

    assert done.returncode == 2
    assert "mine.toml" in done.stderr and "colour" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"", b"this is no database" * 500])
def test_a_file_that_is_no_store_is_said_in_one_line(
    run_cli: Run, tmp_path: Path, content: bytes
) -> None:
    """A file that DuckDB did not write cannot be opened: 3, one line, and it stays as it is."""
    other = tmp_path / "other.duckdb"
    other.write_bytes(content)

    done = run_cli("query", "SELECT count(*) FROM executions", "--db", "other.duckdb")

    assert done.returncode in ((3,) if content else (1, 3))
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert other.read_bytes()[:20] == content[:20]


def test_a_folder_is_no_store(run_cli: Run, tmp_path: Path) -> None:
    """A folder in the place of the store is named, and no lock file is put beside it."""
    (tmp_path / "folder").mkdir()

    done = run_cli("query", "SELECT 1", "--db", "folder")

    assert done.returncode == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_a_store_that_is_held_is_said_with_its_holder(
    run_cli: Run, demo_store: Path, tmp_path: Path
) -> None:
    """While a program keeps the file open, `doctor` ends with 3 and names that program."""
    held = tmp_path / "held.duckdb"
    held.write_bytes(demo_store.read_bytes())
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('open', flush=True);"
         "sys.stdin.read()", str(held)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        holder.stdout.readline()

        done = run_cli("doctor", "--db", "held.duckdb", "--json")
    finally:
        holder.communicate()

    store = next(check for check in json.loads(done.stdout) if check["check"] == "store")
    assert done.returncode == 3
    assert str(holder.pid) in store["detail"]


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    """Ctrl-C ends a command with 130 and no traceback."""
    program = (
        "import os, signal, threading\n"
        "from otel_learning.cli.main import run\n"
        # A shell's background job, as a runner may be one, begins with the signal ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "run()"
    )
    started = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", program, "query", "SELECT sum(a.range * b.range) FROM "
         "range(1000000) a, range(10000000) b", "--db", "x.duckdb"],
        cwd=_with_store(tmp_path), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 30


def _with_store(folder: Path) -> Path:
    from otel_learning import LearningDatabase

    LearningDatabase(folder / "x.duckdb")
    return folder


def test_a_closed_pipe_is_no_error(demo_store: Path) -> None:
    """`otel-learning query ... | head -1` prints its line and says nothing on stderr."""
    program = "from otel_learning.cli.main import run; run()"
    writer = subprocess.Popen(
        [sys.executable, "-c", program, "query", "FROM range(100000)", "--db", str(demo_store)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdout is not None and writer.stderr is not None

    first = writer.stdout.readline()
    writer.stdout.close()
    said = writer.stderr.read()
    writer.stderr.close()
    writer.wait(30)

    assert first.split() == [b"range"]
    assert said == b""


def test_help_is_fast_and_loads_no_database(run_cli: Run) -> None:
    """`--help` imports neither DuckDB nor Arrow nor the OpenTelemetry SDK."""
    program = (
        "import sys\n"
        "from otel_learning.cli import main\n"
        "heavy = {'duckdb', 'pyarrow', 'opentelemetry', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
    assert run_cli("--help").returncode == 0


def test_no_arguments_shows_the_help(run_cli: Run) -> None:
    """Called without a command it shows what there is, and ends with 2."""
    done = run_cli()

    assert done.returncode == 2
    assert "Commands" in done.stderr


def test_the_version_is_the_package_s(run_cli: Run) -> None:
    """`--version` prints the version alone."""
    from otel_learning import __version__

    assert run_cli("--version").stdout == f"{__version__}\n"


def test_the_variable_names_the_store(run_cli: Run, demo_store: Path) -> None:
    """`OTEL_EXPORTER_LEARNING_PATH` stands in for `--db`."""
    done = run_cli(
        "query", "SELECT count(*) AS n FROM executions", "--json",
        env={"OTEL_EXPORTER_LEARNING_PATH": str(demo_store)},
    )  # fmt: skip

    assert json.loads(done.stdout)[0]["n"] > 50


def test_signals_are_the_platform_s() -> None:
    """The exit code of an interrupt is 128 plus the signal's number."""
    assert 128 + signal.SIGINT == 130
