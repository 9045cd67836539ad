"""The policy file beside the store: put in place whole, or not at all, readable by its owner."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_learning.policy_reader import OFF_SUFFIX, SUFFIX, PolicyReader, parsed
from otel_learning.store.failpoints import failpoint


def place_of(store: Path) -> Path:
    """`<store>.policy.json`."""
    return store.with_name(store.name + SUFFIX)


def switch_of(store: Path) -> Path:
    """`<store>.policy.off`: while it is there, no router follows the policy."""
    return store.with_name(store.name + OFF_SUFFIX)


def switched_off(store: Path) -> bool:
    """Whether the kill switch is thrown, by the file or by this process's variable."""
    return PolicyReader(store).off()


def put(store: Path, document: Mapping[str, Any] | None) -> None:
    """Puts a policy in place, or takes it away where it is None.

    A reader sees the old file or the new one; a kill leaves one of both.

    Raises:
        ValueError: a router could not read it; nothing is changed.
        OSError: it cannot be written; nothing is changed.
    """
    place = place_of(store)
    if document is None:
        place.unlink(missing_ok=True)
        _sync(place.parent)
        return
    parsed(document)
    draft = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    try:
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        failpoint("policy: drafted")
        draft.replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    _sync(place.parent)


def in_place(store: Path) -> dict[str, Any] | None:
    """The policy file as it is; None where there is none, or it cannot be understood."""
    try:
        found = json.loads(place_of(store).read_bytes())
        parsed(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(found)


def _sync(folder: Path) -> None:
    """The rename itself is durable, where the file system lets it be."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
