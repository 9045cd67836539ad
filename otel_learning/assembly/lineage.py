"""Who stands above whom, among observations of which some parents may be missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from otel_learning.observation import Observation


class Lineage:
    """The ancestors of observations, as far as these are known."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self._spans = {o.key: o for o in observations}
        self._depth: dict[tuple[str | None, str], int] = {}

    def depth(self, observation: Observation) -> int:
        """How many known ancestors there are."""
        known = self._depth.get(observation.key)
        if known is None:
            parent = self.parent(observation)
            if parent is None:
                known = 0
            elif (above := self._depth.get(parent.key)) is not None:
                known = above + 1
            else:
                known = sum(1 for _ in self.above(observation))
            self._depth[observation.key] = known
        return known

    def above(self, observation: Observation) -> Iterable[Observation]:
        """The known ancestors, nearest first."""
        seen = {observation.key}
        parent = self.parent(observation)
        while parent is not None and parent.key not in seen:
            seen.add(parent.key)
            yield parent
            parent = self.parent(parent)

    def outer(self, members: list[Observation]) -> set[tuple[str | None, str]]:
        """Those of whom one of `members` is a descendant."""
        found: set[tuple[str | None, str]] = set()
        for observation in members:
            parent = self.parent(observation)
            while parent is not None and parent.key not in found:
                found.add(parent.key)
                parent = self.parent(parent)
        return found

    def parent(self, observation: Observation) -> Observation | None:
        if observation.parent_id is None:
            return None
        return self._spans.get((observation.trace_id, observation.parent_id))
