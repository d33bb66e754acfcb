"""What a change of rules changes, over recorded events."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from soc.config import load
from soc.detect.difference import difference, side
from soc.detect.predicate import Op, Test
from soc.detect.recorded import Recorded
from soc.detect.rule import Rule
from soc.errors import UsageError
from tests.detect import rules
from tests.detect.world import SOURCE, event

EVENTS = [Recorded("log", n, event(n, url__query=query)) for n, query in enumerate(["a", "ab", "b", "c"])]


def having(name: str, text: str, version: str = "v1") -> Rule:
    """A rule that finds a text in the query."""
    predicate = Test("url.query", Op.CONTAINS, text)
    path = f"{name}.yml"
    return Rule(id=name, title=name, path=path, predicate=predicate, source=SOURCE, version=version)


def test_events_that_match_on_one_side_only() -> None:
    """Counted and named, for changed, added and removed rules; the same rule has no difference."""
    old = [having("changed", "a"), having("gone", "b"), having("same", "c")]
    new = [having("changed", "b", "v2"), having("new", "c"), having("same", "c")]
    found = difference(old, new, EVENTS)
    rows = {change.rule.id: change.row() for change in found.changes}
    assert {name: row["change"] for name, row in rows.items()} == {
        "changed": "changed", "gone": "removed", "same": "same", "new": "added",
    }  # fmt: skip
    assert rows["changed"]["only_before_at"] == ["log:0"]
    assert rows["changed"]["only_after_at"] == ["log:2"]
    assert (rows["changed"]["before"], rows["changed"]["after"]) == (2, 2)
    assert rows["gone"]["only_before"] == 2
    assert rows["new"]["only_after"] == 1
    assert (rows["same"]["only_before"], rows["same"]["only_after"]) == (0, 0)
    assert found.events == 4
    assert found.differs
    assert not difference(old, old, EVENTS).differs


def test_sides_are_files_folders_and_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as it is, and as it was at a commit; what is none of these is named with the way out."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "a.yml").write_text(rules.text("s: {f: old}\ncondition: s", title="Old"))
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "first")):
        subprocess.run([*git, *words], cwd=tmp_path, check=True, capture_output=True)
    (folder / "a.yml").write_text(rules.text("s: {f: new}\ncondition: s", title="New"))
    config = load()

    def titles(text: str) -> list[str]:
        def no_store() -> None:
            raise AssertionError("no store is needed")

        with side(config, text, store=no_store) as found:  # type: ignore[arg-type] # it is never called
            return [rule.title for rule in found.rules]

    assert titles("rules") == titles("rules/a.yml") == ["New"]
    assert titles("HEAD:rules") == titles("HEAD:rules/a.yml") == titles("HEAD:") == ["Old"]
    with pytest.raises(UsageError, match="there is no nothing at HEAD"):
        titles("HEAD:nothing")
    with pytest.raises(UsageError, match="git knows no commit"):
        titles("no-such-branch:rules")
    with pytest.raises(UsageError, match="outside of the repository"):
        titles("HEAD:../other")
