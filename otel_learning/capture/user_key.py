"""The key of user hashes: a file beside the store, made with the first user that is hashed.

All stores of one system user on one machine get the same key, so that a user is the same person
in each of them. It is derived from the machine's id as systemd asks programs to do it
(machine-id(5): hash it with a key of your own, never show it), so that whoever gets hold of the
store alone cannot try user names out.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

_SECRETS: Final = (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id"))
_SHORTEST_SECRET: Final = 32
_TRIES: Final = 100


def user_key(store: Path) -> bytes:
    """The 32 bytes of `<store>.key`; the file is made, atomically, where there is none.

    Raises OSError where it can be neither read nor made.
    """
    from otel_learning.store.lease import place

    file = store.with_name(store.name + ".key")
    file.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        try:
            key = file.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) == 32:
            return key
        draft = store.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(descriptor, _new_key())
            finally:
                os.close(descriptor)
            place(draft, file)
        finally:
            draft.unlink(missing_ok=True)
    raise OSError(f"the key file {file} cannot be read")


def _new_key() -> bytes:
    for source in _SECRETS:
        try:
            secret = source.read_bytes().strip()
        except OSError:
            continue
        if len(secret) >= _SHORTEST_SECRET:
            owner = f"otel_learning user key of {os.getuid()}".encode()
            return hashlib.blake2b(secret, key=owner[:64], digest_size=32).digest()
    return secrets.token_bytes(32)
