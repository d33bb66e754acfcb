"""Recorded events: what files hold, through the collectors, without a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soc.detect.matcher import Matcher
from soc.detect.predicate import EVERYTHING
from soc.detect.rule import Rule
from soc.detect.scan import Scanner, inputs
from soc.errors import ContentError, Problem

if TYPE_CHECKING:
    from soc.collect.collector import Collectors, Context
    from soc.event import Event

_ANY = Rule(id="any", title="Any event", predicate=EVERYTHING, source=EVERYTHING)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and where it was recorded: a file, and the number of the record as `soc scan` shows it."""

    path: str
    record: int
    event: Event

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.path}:{self.record}"


class Recording:
    """The events of files and folders; `done` files of `sources` have been read.

    What cannot be read is in `problems` and `remarks` after reading.
    """

    def __init__(self, paths: Iterable[str], collectors: Collectors, context: Context) -> None:
        """Raises `ContentError` for a file that is not there."""
        self.sources, missing = inputs(paths)
        if missing:
            raise ContentError(missing)
        self.done = 0
        self._scanner = Scanner(Matcher([_ANY]), collectors, context)

    def __iter__(self) -> Iterator[Recorded]:
        for source in self.sources:
            for hit in self._scanner.scan(source):
                yield Recorded(hit.path, hit.record, hit.event)
            self.done += 1

    @property
    def problems(self) -> list[Problem]:
        """Files that could not be read."""
        return self._scanner.tally.problems

    @property
    def remarks(self) -> list[str]:
        """Records that could not be read, and empty files."""
        return self._scanner.tally.remarks
