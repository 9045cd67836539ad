"""Reads the code blocks of a Markdown page, with what the comment before a block says of it.

`<!-- not run: REASON -->`   the block is shown and not run
`<!-- needs: MODULE -->`     it is run where that module is installed
`<!-- file: NAME -->`        it is written to that file first (a Python one is not run by itself)
`<!-- output -->`            it is what the block before it prints; `...` stands for what differs
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*?) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    language: str
    body: str
    mark: str

    def named(self, kind: str) -> str | None:
        """What the mark says after `kind:`, None where it is of another kind."""
        found, _, said = self.mark.partition(":")
        return said.strip() if found == kind else None


def pages() -> list[Path]:
    """Every page that people read."""
    top = [ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]


def blocks(page: Path) -> list[Block]:
    """The page's code blocks, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["language"], found["body"], found["mark"] or "")
        for found in _BLOCK.finditer(text)
    ]
