"""Rules for tests: written as YAML text, loaded by the real loader without collectors or cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent, indent

from soc.detect.logsources import Declared
from soc.detect.rule import Logsource, Rule
from soc.detect.ruleset import Ruleset, load_rules

ANY = "{category: test}"
"""A log source that every test event belongs to (dataset `test.event`)."""

DECLARED = (Declared(Logsource(category="test"), "test.event", "test"),)


def text(detection: str, *, logsource: str = ANY, more: str = "", title: str = "A rule", id: str = "") -> str:  # noqa: A002 - Sigma's word
    """The text of a rule with this detection section."""
    head = f"title: {title}\n" + (f"id: {id}\n" if id else "") + f"logsource: {logsource}\nlevel: high\n"
    return head + dedent(more) + "detection:\n" + indent(dedent(detection).strip("\n"), "  ") + "\n"


def load(
    folder: Path, *texts: str, declared: Sequence[Declared] = DECLARED, cache: Path | bool = False
) -> Ruleset:
    """The rules of texts, each in a file of its own below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(texts):
        (folder / f"rule{number}.yml").write_text(content, encoding="utf-8")
    return load_rules([folder], declared=declared, cache=cache)


def one(folder: Path, detection: str, **more: str) -> Rule:
    """The single rule with this detection, which must be sound."""
    found = load(folder, text(detection, **more))
    assert not found.problems, [str(p) for p in found.problems]
    (rule,) = found.rules
    return rule
