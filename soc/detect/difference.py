"""What a change of rules changes: which recorded events match only before, and which only after."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from soc.detect.catalogue import short_name
from soc.detect.matcher import Matcher
from soc.detect.predicate import Verdict
from soc.errors import SocError, StoreUnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc.config import Config
    from soc.detect.recorded import Recorded
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset
    from soc.store.contract import Store

MAX_EXAMPLES = 1000
"""Events that are named for each rule and side; the counts are of all."""


@dataclass
class Change:
    """One rule of both sides (by its id). `lost` matched only before, `gained` only after."""

    before: Rule | None
    after: Rule | None
    both: int = 0
    lost: int = 0
    gained: int = 0
    undecided: int = 0
    lost_at: list[str] = field(default_factory=list)
    gained_at: list[str] = field(default_factory=list)

    @property
    def rule(self) -> Rule:
        """The rule as it is after, else as it was."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 - a change is of some rule
        return found

    @property
    def kind(self) -> str:
        """`added`, `removed`, `changed` (its version), or `same`."""
        if self.before is None or self.after is None:
            return "added" if self.before is None else "removed"
        return "same" if self.before.version == self.after.version else "changed"

    def take(self, before: Verdict | None, after: Verdict | None, where: str) -> None:
        """Count an event by what each side said of it."""
        if Verdict.UNDECIDED in (before, after):
            self.undecided += 1
        was, now = before is Verdict.TRUE, after is Verdict.TRUE
        self.both += was and now
        if was and not now:
            self.lost += 1
            if len(self.lost_at) < MAX_EXAMPLES:
                self.lost_at.append(where)
        elif now and not was:
            self.gained += 1
            if len(self.gained_at) < MAX_EXAMPLES:
                self.gained_at.append(where)

    def row(self) -> dict[str, Any]:
        """As one row."""
        return {
            "name": short_name(self.rule),
            "change": self.kind,
            "before": self.both + self.lost,
            "after": self.both + self.gained,
            "only_before": self.lost,
            "only_after": self.gained,
            "undecided": self.undecided,
            "example": (self.lost_at + self.gained_at)[:1][0] if self.lost + self.gained else "",
            "only_before_at": self.lost_at,
            "only_after_at": self.gained_at,
            "title": self.rule.title,
            "id": self.rule.id,
            "path": str(self.rule.place),
        }


@dataclass
class Difference:
    """The whole difference. `events` is how many were looked at."""

    changes: list[Change]
    events: int = 0

    @property
    def differs(self) -> bool:
        """Whether any event matches on one side only."""
        return any(change.lost or change.gained for change in self.changes)


def difference(
    old: Sequence[Rule],
    new: Sequence[Rule],
    events: Iterable[Recorded],
    *,
    tick: Callable[[], None] | None = None,
) -> Difference:
    """Match both sides against the same events."""
    before, after = {rule.id: rule for rule in old}, {rule.id: rule for rule in new}
    changes = {id_: Change(before.get(id_), after.get(id_)) for id_ in [*before, *after]}
    one, other = Matcher(old), Matcher(new)
    out = Difference(list(changes.values()))
    for recorded in events:
        out.events += 1
        left = {match.rule.id: match.verdict for match in one.match(recorded.event)}
        right = {match.rule.id: match.verdict for match in other.match(recorded.event)}
        for id_ in left.keys() | right.keys():
            changes[id_].take(left.get(id_), right.get(id_), recorded.where)
        if tick:
            tick()
    return out


# ------------------------------------------------------------------ where the sides come from


@contextmanager
def side(config: Config, text: str, *, store: Callable[[], Store]) -> Iterator[Ruleset]:
    """The rules that a text names: a file or folder, `REV:path` of the git repository here, or the commit (or
    number) of a published set. Raises `UsageError` when it names nothing.
    """
    from soc.collect.collector import collectors_for
    from soc.detect.logsources import declared_by
    from soc.detect.ruleset import load_rules

    declared = declared_by(collectors_for(config))
    if Path(text).exists():
        yield load_rules([Path(text)], declared=declared)
        return
    revision, separator, path = text.partition(":")
    if separator:
        with _of_git(revision, path) as folder:
            yield load_rules([folder], declared=declared, cache=False)
        return
    try:
        opened = store()
    except StoreUnavailableError:
        hint = "a set that is published has its commit in a store: --store"
        raise UsageError(f"{text!r} is no file, no folder, and no REV:path", hint=hint) from None
    yield _published(opened, text)


@contextmanager
def _of_git(revision: str, path: str) -> Iterator[Path]:
    """A file or folder of a commit, in a folder of its own."""
    from soc.detect.releases.git import require_checkout

    here = Path.cwd()
    checkout = require_checkout(here)
    commit = checkout.resolve(revision)
    inside = (here / path).resolve()
    if not inside.is_relative_to(checkout.root):
        raise UsageError(f"{path} lies outside of the repository", place=str(checkout.root))
    name = inside.relative_to(checkout.root).as_posix()
    with TemporaryDirectory(prefix="soc-diff-") as scratch:
        try:
            raw = checkout.archive(commit, name)
        except SocError:
            raise UsageError(
                f"there is no {path or '.'} at {revision}", hint=f"git ls-tree {revision}"
            ) from None
        with tarfile.open(fileobj=BytesIO(raw)) as packed:
            packed.extractall(scratch, filter="data")
        yield Path(scratch, name)


def _published(store: Store, text: str) -> Ruleset:
    """A published set by its commit, its number, or `published` for the one that holds."""
    from soc.config import cache_folder
    from soc.detect.releases import published

    key = text.lower()
    for release in published.releases(store):
        known = key in {"published", str(release.number)}
        if known or (len(key) >= 4 and release.commit.startswith(key)):
            folder = published.unpacked(store, release.set, cache_folder() / "published")
            return published.load(folder, release.commit)
    raise UsageError(
        f"{text!r} is no file, no folder, no REV:path, and no published set",
        hint="soc rule rollback --list shows published sets",
    )
