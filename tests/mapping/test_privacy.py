"""Secrets are masked before anything is stored; ordinary text stays as it is."""

from __future__ import annotations

import pytest

from otel_learning.mapping.privacy import MASK, hash_user, mask
from tests.mapping.spans import facts

_A = "A1b2C3d4E5f6G7h8J9k0L1m2N3p4Q5r6S7t8"
# Put together here, so that no scanner of this repository takes a made-up one for a secret.
_SECRETS = [
    f"sk-{_A}", f"sk-proj-{_A}", f"sk-ant-{_A}", f"sk_live_{_A}", f"pk_test_{_A}", f"rk_live_{_A}",
    f"ghp_{_A}", f"gho_{_A}", f"ghs_{_A}", f"github_pat_{_A}", f"glpat-{_A}", f"xoxb-123456-{_A}",
    "AKIA" + "ABCDEFGH12345678", "ASIA" + "ABCDEFGH12345678", f"AIza{_A}", f"ya29.{_A}",
    f"hf_{_A}", f"npm_{_A}", f"pypi-{_A}", f"eyJhbGciOiJI.{_A}.{_A}", f"eyJhbGciOiJI.{_A}",
    f"Bearer {_A}", f"basic {_A}=",
]  # fmt: skip


@pytest.mark.parametrize("secret", _SECRETS, ids=lambda secret: secret[:9])
@pytest.mark.parametrize("around", ["{}", "the key is {}, use it", "x={}", '{{"k": "{}"}}', "({})"])
def test_each_shape_is_masked(secret: str, around: str) -> None:
    """Every shape of credential is masked wherever it stands in a text."""
    found = mask(around.format(secret))

    assert MASK in found
    assert secret.split()[-1].rstrip("=")[-20:] not in found


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        ("postgres://me:hunter2@host/db", "hunter2"),
        ("https://user:p%40ss@host/path", "p%40ss"),
        ("password=hunter2", "hunter2"),
        ('{"password": "hunter2"}', "hunter2"),
        ("api_key: abcd1234", "abcd1234"),
        ("API-KEY=abcd1234", "abcd1234"),
        ("client_secret = 'abcd1234'", "abcd1234"),
        ("token=abcd1234&x=1", "abcd1234"),
        ("Authorization: Zm9vYmFy", "Zm9vYmFy"),
    ],
)
def test_named_secrets_are_masked(given: str, gone: str) -> None:
    """What follows a word that names a secret is masked, whatever it looks like."""
    assert gone not in mask(given)
    assert MASK in mask(given)


def test_private_keys_are_masked_whole() -> None:
    """A private key goes from its first line to its last, or to the end where it is cut."""
    whole = "-----BEGIN RSA PRIVATE KEY----- MIIEpAIBAAK -----END RSA PRIVATE KEY----- after"

    assert mask(whole) == f"{MASK} after"
    assert mask("before -----BEGIN PRIVATE KEY----- MIIEpAIBAAK") == f"before {MASK}"


@pytest.mark.parametrize(
    "ordinary",
    [
        "Fix the login test in acme/shop, it fails on Mondays",
        "Explain why max_tokens is 4096 and the context window 128000",
        "see https://github.com/acme/shop/pull/12?tab=files#diff-1",
        "the tokenizer splits 'pneumonoultramicroscopicsilicovolcanoconiosis'",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 broke it",
        "trace 576997a799b9314ae80d5f195f618be2, span 00f067aa0ba902b7",
        "user@host.example asked about risk-adjusted forecasts for sky-blue-widgets",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "Wie ändere ich die Sprache?",
        "a passing test, a secretary and an author",
    ],
)
def test_ordinary_text_stays(ordinary: str) -> None:
    """Words, addresses, hashes and ids are not taken for secrets."""
    assert mask(ordinary) == ordinary


def test_texts_on_spans_are_masked() -> None:
    """Descriptions, error messages and summaries are masked on their way into an observation."""
    secret = _SECRETS[0]

    found = facts({
        "learning.task.id": "t", "learning.task.description": f"use {secret}",
        "learning.outcome.error_message": f"bad key {secret}",
        "learning.outcome.solution_summary": f"rotated {secret}",
        "learning.feedback.comment": f"why {secret}",
    })  # fmt: skip

    assert secret not in repr(found)
    assert str(found["task_description"]) == f"use {MASK}"


def test_users_are_hashed() -> None:
    """A user is a keyed hash: the same for the same key, another for another key, never plain."""
    one, same = hash_user("dana", b"key"), hash_user("dana", b"key")

    assert one == same
    assert len(one) == 32
    assert one != hash_user("dana", b"other")
    assert one != hash_user("mo", b"key")
    assert facts({"task.id": "t", "user.id": "dana"})["user_hash"] == "hash of dana"
