"""Stages: what looks at the hits of a sweep after matching and before they become alerts.

A rule on single events is decided by the matcher. What needs more than one event (correlations), or what the
store remembers (a value seen for the first time), is a stage: it gets the hits of each batch in the order of
the stages, may take some away, and may write alerts of its own.

A stage is called before the position of the feed moves, so after a crash the same batch comes again: whatever
a stage keeps must know events by their id, and write by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from soc.detect.alert_writer import Written
from soc.detect.grouping import Hit


@dataclass(slots=True)
class Staged:
    """What a stage leaves: the hits that go on to the next stage and at last to the alert writer; what it
    wrote itself. `late`: hits that came too late to be looked at (`late_by`: by rule); `undecided`: rule id
    to undecided hits; `held`: rule id to hits of its detection that its own extension did not let count
    (below 0: it made some).
    """

    hits: list[Hit]
    written: Written = field(default_factory=Written)
    late: int = 0
    late_by: dict[str, int] = field(default_factory=dict)
    undecided: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Stage(Protocol):
    """One stage of a sweep."""

    def begin(self) -> None:
        """A run of the sweep begins: read again what other workers may have changed."""

    def take(self, hits: Sequence[Hit], *, replay: bool) -> Staged:
        """The hits of one batch; `replay` when some of them may have been taken before."""

    def finish(self, watermark: int) -> Staged:
        """The feed is caught up: no event before `watermark` (microseconds since 1970) is expected any more,
        but for those within the allowed lateness."""
