"""Masks secrets in texts and turns user ids into keyed hashes, before anything is stored.

Pure: the key comes from outside. The patterns are shapes of credentials that their issuers
document; a secret without a shape cannot be told from a word, which is why prompts, tool
arguments and outputs are not stored at all.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

MASK: Final = "[masked]"

_SECRET: Final = re.compile(
    r"""(?x)
    -----BEGIN[ A-Z]*PRIVATE[ ]KEY-----.*?(?:-----END[ A-Z]*PRIVATE[ ]KEY-----|$)
  | \b(?:sk|pk|rk)[-_](?:[A-Za-z]+[-_])?[A-Za-z0-9_\-]{12,}     # OpenAI, Anthropic, Stripe
  | \bgh[pousr]_[A-Za-z0-9]{16,} | \bgithub_pat_[A-Za-z0-9_]{20,} # GitHub
  | \bglpat-[A-Za-z0-9_\-]{16,} | \bxox[abeprs]-[A-Za-z0-9\-]{10,} # GitLab, Slack
  | \b(?:AKIA|ASIA|AGPA|AROA|AIDA)[A-Z0-9]{12,}                  # AWS
  | \bAIza[A-Za-z0-9_\-]{30,} | \bya29\.[A-Za-z0-9_\-]{20,}      # Google
  | \bhf_[A-Za-z0-9]{20,} | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[A-Za-z0-9_\-]{30,}
  | \beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)? # JWT
  | (?i:\b(?:bearer|basic)[ ]+)[A-Za-z0-9+/=_.~\-]{12,}
  | (?<=://)[^/\s:@]{1,128}:[^/\s@]{1,256}(?=@)                  # user:password@ in a URL
  | (?i:\b(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|
      client[_-]?secret|auth(?:orization)?)["']?\s*[:=]\s*["']?)[^\s"',;&]{4,}
    """
)


_SIGNS: Final = (
    "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "key", "gh", "github_pat_", "glpat", "xox", "akia",
    "asia", "agpa", "aroa", "aida", "aiza", "ya29", "hf_", "npm_", "pypi-", "eyj", "bearer",
    "basic", "://", "pass", "secret", "token", "auth",
)  # fmt: skip
"""One of these is in every text that `_SECRET` matches; looking for them is much cheaper."""


def mask(found: str) -> str:
    """The text with every recognised credential replaced by `[masked]`."""
    # Ordinary words end the search here: a credential is long, or follows a sign.
    signless = ":" not in found and "=" not in found and "-----" not in found
    if signless and max(map(len, found.split()), default=0) < 12:
        return found
    lowered = found.lower()
    return _SECRET.sub(MASK, found) if any(sign in lowered for sign in _SIGNS) else found


def hash_user(user: str, key: bytes) -> str:
    """A keyed hash of a user id: the same user is recognisable, not readable.

    HMAC-SHA-256 (RFC 2104), cut to 128 bits; the key lies in a file beside the store.
    """
    return hmac.new(key, user.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
