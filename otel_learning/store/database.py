"""Reads the store, and takes feedback: the library's face for programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from otel_learning.errors import InputError, StoreMissingError
from otel_learning.mapping.privacy import mask
from otel_learning.observation import Observation
from otel_learning.records import FeedbackRecord
from otel_learning.settings import load as load_settings
from otel_learning.store import lease, schema, segments
from otel_learning.store.drain import Drainer, DrainSettings, ensure_store
from otel_learning.store.lake.address import LakeAddress, is_lake, refuse_lake
from otel_learning.store.lake.reading import LakeConnection
from otel_learning.store.reader import Reader, Snapshot
from otel_learning.store.spool import Spool

if TYPE_CHECKING:
    import duckdb


class LearningDatabase(Reader):
    """A store, opened for the time of each call and let go of in between.

    Every call first brings in what waits in the spool, so it sees everything exported or said
    before. It may live in the process of the exporter. A lake's address in the place of the path
    has the lake read, by the same calls; its connection is kept until `close()`.

    Args:
        path: the store file; a missing one is created, unless `create` is false. Or a lake's
            address, `ducklake:postgres:...`.
        timeout_seconds: how long a call waits while another program holds the file.

    Raises:
        StoreLockedError: the file was not free in time.
        StoreMissingError: there is none, and `create` is false.
        StoreError: it cannot be read.
    """

    def __init__(
        self,
        path: str | Path = "learning.duckdb",
        *,
        create: bool = True,
        timeout_seconds: float = lease.READ_SECONDS,
        settings: DrainSettings | None = None,
    ) -> None:
        self._lake: LakeConnection | None = None
        if is_lake(path):
            self._lake = LakeConnection(LakeAddress.of(path))
            self.path = Path(path)
            return
        self.path = Path(path).expanduser().resolve()
        self._timeout = timeout_seconds
        self._current = False
        """Whether the store is known to have this release's schema; a drain brings it up."""
        self._drainer = Drainer(self.path, settings or DrainSettings.of(load_settings()[0]))
        if not self.path.exists():
            waiting = Spool(self.path).list()
            if not create and not waiting:
                raise StoreMissingError(
                    f"there is no store at {self.path}",
                    "name one with --db or OTEL_EXPORTER_LEARNING_PATH",
                )
            with lease.exclusive(self.path, timeout_seconds):
                ensure_store(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of a lake; of a store nothing is held between calls."""
        if self._lake is not None:
            self._lake.close()

    # --------------------------------------------------------------------- reading

    def drain(self) -> None:
        """Brings in what waits, and settles what is due; nothing waits beside a lake."""
        if self._lake is None:
            self._bring_in()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._lake is not None:
            with self._lake.cursor() as con:
                yield con
            return
        deadline = time.monotonic() + self._timeout
        if Spool(self.path).list():
            self._bring_in()
        for _ in range(2):
            with lease.exclusive(self.path, max(0.0, deadline - time.monotonic())):
                left = max(0.0, deadline - time.monotonic())
                with lease.connection(self.path, left, read_only=True) as con:
                    if self._current or not schema.checked(schema.applied(con), str(self.path)):
                        self._current = True
                        yield con
                        return
            self._bring_in()

    def _bring_in(self) -> None:
        self._drainer.drain(self._timeout)
        self._current = True

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The store as it is now, open for many calls, from several threads at once.

        Keep it short: until its end nobody drains, in this process or another, so a
        `force_flush()` returns False, calls of this database itself wait in vain, and a fork is
        held up for seconds. What is exported or said meanwhile waits in the spool, and the
        snapshot does not show it. The end waits for calls that other threads still run.

        Raises:
            StoreLockedError: the file was not free in time.
            StoreError: it cannot be read; or, from a call of the snapshot, it has ended.
        """
        with self._at_a_moment() as con:
            found = Snapshot(self.path, con)
            try:
                yield found
            finally:
                found._end()

    @contextmanager
    def _at_a_moment(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that shows the same until it is closed."""
        if self._lake is None:
            with self._cursor() as con:
                yield con
            return
        with closing(self._lake.pinned()) as pinned, pinned.told():
            yield pinned.connection()

    # -------------------------------------------------------------------- feedback

    def record_feedback(self, feedback: FeedbackRecord) -> UUID:
        """Stores feedback durably and returns its id; the next read sees it.

        It may come before its execution exists. The same `feedback_id` again replaces what was
        said before; with `revoked` it takes it back.
        """
        refuse_lake(self.path)
        given = feedback.given_at
        given_ns = int(given.timestamp() * 1e9) if given is not None else time.time_ns()
        facts: dict[str, Any] = {
            "feedback_id": str(feedback.feedback_id),
            "feedback_kind": feedback.target_kind,
            "feedback_target": feedback.target_id,
            "feedback_accepted": feedback.accepted,
            "feedback_rating": feedback.rating,
            "feedback_comment": _storable(feedback.comment),
            "feedback_source": feedback.source,
            "feedback_quality": feedback.quality_score,
            "feedback_issue": feedback.issue,
            "feedback_visibility": None
            if feedback.visibility == "private"
            else feedback.visibility,
            "feedback_revoked": feedback.revoked or None,
        }
        says = ("accepted", "rating", "comment", "quality", "issue", "revoked")
        if all(facts[f"feedback_{name}"] is None for name in says):
            raise InputError(
                "the feedback says nothing",
                "give accepted, rating, comment, issue or quality_score",
            )
        observation = Observation(
            trace_id=None,
            span_id=feedback.feedback_id.hex[:16],
            parent_id=None,
            local_root=False,
            role="feedback",
            start_ns=given_ns,
            end_ns=given_ns,
            # What was said last stands: a later record of the same id has the higher revision.
            revision=time.time_ns() // 1000,
            facts={name: value for name, value in facts.items() if value is not None},
        )
        Spool(self.path).write(segments.encode([observation]))
        return feedback.feedback_id


def _storable(comment: str | None) -> str | None:
    """A comment as the setting `content` lets it be stored: masked, or not at all."""
    if not comment or load_settings()[0].content == "none":
        return None
    return mask(comment)
