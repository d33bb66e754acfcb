"""Rule folders: every rule loaded, every problem placed, and the cache that makes it quick."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from soc import content
from soc.detect.predicate import Verdict, evaluate
from soc.detect.releases.layers import rule_files
from soc.detect.ruleset import load_rules
from soc.errors import ContentError, Severity
from tests.detect import rules

ID = "5a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90"
OTHER = "6a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b91"
PLAIN = "s: {f: abc}\ncondition: s"


def test_a_rule_says_what_it_is(tmp_path: Path) -> None:
    """Everything that Sigma and our attributes say about a rule is there, with its file and line."""
    more = """
        status: test
        description: What it finds.
        author: A. Nguyen
        date: 2026-03-02
        tags: [attack.t1059, attack.execution]
        references: [https://example.org/a]
        falsepositives: [Administrators]
        custom_attributes:
          soc.playbooks: [malware-on-host]
          soc.group_by: [host.name]
          soc.window: 15m
        """
    found = rules.load(tmp_path, rules.text(PLAIN, more=more, id=ID, title="Odd shell"))
    assert not found.problems
    (rule,) = found.rules
    assert (rule.id, rule.title, rule.level, rule.status, rule.date) == (
        ID,
        "Odd shell",
        "high",
        "test",
        "2026-03-02",
    )
    assert rule.tags == ("attack.t1059", "attack.execution")
    assert rule.playbooks == ("malware-on-host",)
    assert rule.group_by == ("host.name",)
    assert rule.window.total_seconds() == 900
    assert (rule.path, rule.line) == (str(tmp_path / "rule0.yml"), 1)
    assert rule.fields == ("f",)
    assert rule.kind == "detection"


def test_all_errors_of_a_folder_are_shown_at_once(tmp_path: Path) -> None:
    """Broken rules are listed with path and line; the sound ones among them are loaded all the same."""
    broken = [
        rules.text("s: {f|nope: x}\ncondition: s", title="Modifier"),
        "title: [unclosed\n",
        "just text\n",
        "\x00\x01\x02",
        "",
        rules.text(PLAIN, title="No source", logsource="{}"),
        rules.text(PLAIN, title="Bad level").replace("level: high", "level: terrible"),
        rules.text(PLAIN, title="Bad id", id="12"),
        rules.text(PLAIN, title="Old").replace("title", "action: global\ntitle", 1),
        rules.text(PLAIN, title="Twice").replace("level: high", "level: high\nlevel: low"),
    ]
    found = rules.load(tmp_path, rules.text(PLAIN, title="Sound"), *broken)
    assert [rule.title for rule in found.rules] == ["Sound"]
    assert {Path(p.place.path).name for p in found.errors} == {f"rule{n}.yml" for n in range(1, 11)}
    placed = {Path(p.place.path).name: p.place.line for p in found.errors}
    assert (placed["rule1.yml"], placed["rule7.yml"], placed["rule8.yml"]) == (5, 3, 2)
    with pytest.raises(ContentError) as caught:
        found.require_sound()
    assert len(caught.value.problems) == len(found.errors)


@pytest.mark.parametrize(
    "attributes",
    ["[a]", "{soc.playbooks: one}", "{soc.group_by: [1]}", "{soc.window: soon}", "{soc.playbook: [a]}"],
)
def test_wrong_attributes_are_problems(attributes: str, tmp_path: Path) -> None:
    """A misspelt or misshapen setting of ours is an error, not silently nothing."""
    found = rules.load(tmp_path, rules.text(PLAIN, more=f"custom_attributes: {attributes}\n"))
    assert [p.kind for p in found.errors] == ["attribute"]


def test_a_later_folder_overrides_by_id(tmp_path: Path) -> None:
    """A user's rule takes the place of a shipped one with the same id; within one folder that is an error."""
    rules.load(
        tmp_path / "a", rules.text(PLAIN, id=ID, title="Shipped"), rules.text(PLAIN, id=OTHER, title="Other")
    )
    rules.load(tmp_path / "b", rules.text(PLAIN, id=ID, title="Mine"))
    found = load_rules([tmp_path / "a", tmp_path / "b"], declared=rules.DECLARED, cache=False)
    assert [rule.title for rule in found.rules] == ["Other", "Mine"]
    assert not found.problems
    twice = rules.load(tmp_path / "c", rules.text(PLAIN, id=ID), rules.text(PLAIN, id=ID))
    assert [p.kind for p in twice.errors] == ["duplicate_id"]
    assert "rule0.yml" in twice.errors[0].message


def test_several_documents_in_one_file(tmp_path: Path) -> None:
    """A file may hold several rules; each knows its line, and a broken one does not hide the others."""
    first, second = rules.text(PLAIN, title="One"), rules.text(PLAIN, title="Two")
    bad = rules.text("s: {f|nope: 1}\ncondition: s", title="Bad")
    found = rules.load(tmp_path, f"{first}---\n{bad}---\n{second}")
    assert [(r.title, r.line) for r in found.rules] == [("One", 1), ("Two", 15)]
    assert [p.place.line for p in found.errors] == [12]


def test_samples_pipelines_and_hidden_files_are_no_rules(tmp_path: Path) -> None:
    """Only rule files are read as rules."""
    for name in ("a.yml", "samples/b.yml", "pipelines/c.yml", ".git/d.yml", "sub/e.yaml", "readme.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert [p.name for p in rule_files(tmp_path)] == ["a.yml", "e.yaml"]
    assert list(rule_files(tmp_path / "a.yml")) == [tmp_path / "a.yml"]


def test_a_missing_folder_is_a_problem(tmp_path: Path) -> None:
    """Naming a folder that is not there is an error, not an empty set."""
    assert [p.kind for p in load_rules([tmp_path / "no"], declared=(), cache=False).errors] == ["missing"]


def test_a_rule_that_nobody_can_feed_is_blind(tmp_path: Path) -> None:
    """It is loaded and says why; it is never simply false."""
    found = rules.load(tmp_path, rules.text(PLAIN, logsource="{product: vax, service: mail}"))
    (rule,) = found.blind
    assert "product vax" in rule.blind
    assert rule.runnable


def test_correlations_are_kept(tmp_path: Path) -> None:
    """A correlation is listed with its definition, as a rule of its own kind."""
    base = rules.text(PLAIN, title="Base", more="name: base\n")
    correlation = (
        "title: Many\ncorrelation:\n  type: event_count\n  rules: [base]\n  group-by: [user.name]\n"
        "  timespan: 5m\n  condition: {gte: 10}\n"
    )
    found = rules.load(tmp_path, base, correlation)
    assert not found.problems
    (rule,) = found.correlations
    assert rule.kind == "correlation"
    assert rule.correlation is not None
    assert rule.correlation["timespan"] == "5m"
    assert [r.title for r in found.runnable] == ["Base"]


FILTER = """
title: Backup hosts are normal
id: 7a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b92
logsource: {category: test}
filter:
  rules: %s
  known: {g: backup}
  condition: not known
"""


@pytest.mark.parametrize("wanted", [f"[{ID}]", "[base]", "any", f"'{ID}'", "[]"])
def test_a_filter_narrows_its_rules(wanted: str, tmp_path: Path) -> None:
    """A filter's condition is added to the rules that it names; their version changes."""
    rule_text = rules.text(PLAIN, id=ID, more="name: base\n")
    plain = rules.load(tmp_path / "a", rule_text).rules[0]
    found = rules.load(tmp_path / "b", rule_text, FILTER % wanted)
    assert not found.problems
    (rule,) = found.rules
    event = {"event.dataset": "test.event", "f": "abc"}
    assert evaluate(rule.predicate, event) is Verdict.TRUE
    assert evaluate(rule.predicate, {**event, "g": "backup"}) is Verdict.FALSE
    assert evaluate(plain.predicate, {**event, "g": "backup"}) is Verdict.TRUE
    assert rule.version != plain.version
    assert rule.filters == ("7a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b92",)


def test_a_filter_for_a_missing_rule_warns(tmp_path: Path) -> None:
    """A filter whose target is gone is a warning that names it."""
    found = rules.load(tmp_path, rules.text(PLAIN), FILTER % "[gone]")
    assert [(p.kind, p.severity) for p in found.problems] == [("unknown_rule", Severity.WARNING)]


def test_a_filter_maps_fields_as_its_rule(tmp_path: Path) -> None:
    """The field names of a filter become those of the rule that it narrows, also from the cache."""
    rule_text = rules.text("s: {cs-method: GET}\ncondition: s", logsource="{category: webserver}", id=ID)
    found = (
        FILTER.replace("{category: test}", "{category: webserver}").replace("g: backup", "c-ip: 192.0.2.1")
        % "any"
    )
    for _ in range(2):
        ruleset = rules.load(tmp_path / "r", rule_text, found, cache=tmp_path / "cache")
        assert "source.ip" in repr(ruleset.rules[0].predicate)


# ------------------------------------------------------------------ cache


def _times(folder: Path, cache: Path) -> list[str]:
    return [rule.version for rule in load_rules([folder], declared=rules.DECLARED, cache=cache).rules]


def test_cache_gives_the_same_rules_without_pysigma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second load compiles nothing and gives equal rules and equal problems."""
    folder, cache = tmp_path / "rules", tmp_path / "cache"
    first = rules.load(folder, rules.text(PLAIN), "title: [broken\n", FILTER % "any", cache=cache)
    monkeypatch.setattr("soc.detect.ruleset._compile_file", _refuse)
    second = load_rules([folder], declared=rules.DECLARED, cache=cache)
    assert second.rules == first.rules
    assert second.problems == first.problems


def _refuse(*_: object) -> None:
    raise AssertionError("a file was compiled although the cache has it")


def test_only_changed_files_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed rule gets a new version; the others come from the cache."""
    from soc.detect import ruleset

    folder, cache = tmp_path / "rules", tmp_path / "cache"
    rules.load(folder, rules.text(PLAIN, title="A"), rules.text(PLAIN, title="B"), cache=cache)
    before = _times(folder, cache)
    compiled: list[str] = []
    real = ruleset._compile_file

    def noted(path: Path, *rest: Any) -> Any:
        compiled.append(path.name)
        return real(path, *rest)

    monkeypatch.setattr(ruleset, "_compile_file", noted)
    (folder / "rule1.yml").write_text(rules.text("s: {f: other}\ncondition: s", title="B"))
    after = _times(folder, cache)
    assert compiled == ["rule1.yml"]
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "garbage", "link", "writable"])
def test_a_damaged_or_foreign_cache_is_rebuilt(damage: str, tmp_path: Path) -> None:
    """Whatever is found in place of the cache: the rules are the same, and the cache is sound afterwards."""
    folder, cache = tmp_path / "rules", tmp_path / "cache"
    first = rules.load(folder, rules.text(PLAIN), cache=cache).rules
    (file,) = cache.glob("rules-*.msgpack")
    raw = file.read_bytes()
    if damage == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    elif damage == "writable":
        file.chmod(0o666)
    else:
        cut = {"empty": b"", "cut": raw[: len(raw) // 2], "garbage": os.urandom(500)}
        file.write_bytes(cut.get(damage, raw[:40] + bytes([raw[40] ^ 1]) + raw[41:]))
    assert rules.load(folder, cache=cache).rules == first
    assert not file.is_symlink()
    assert file.stat().st_mode & 0o077 == 0
    assert rules.load(folder, cache=cache).rules == first


def test_cache_folder_belongs_to_its_user(tmp_path: Path) -> None:
    """It is made for its owner alone; one that others can write to is not used."""
    cache = tmp_path / "cache"
    rules.load(tmp_path / "rules", rules.text(PLAIN), cache=cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert rules.load(tmp_path / "rules", rules.text(PLAIN), cache=shared).rules
    assert not list(shared.iterdir())


def test_cache_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    """A file where the folder should be: rules are loaded, only slower."""
    (tmp_path / "file").write_text("")
    found = rules.load(tmp_path / "rules", rules.text(PLAIN), cache=tmp_path / "file" / "cache")
    assert len(found.rules) == 1


def test_huge_numbers_in_a_rule(tmp_path: Path) -> None:
    """A number beyond 64 bits compares as its text; that the cache cannot hold it does no harm."""
    attribute = "custom_attributes: {other: 123456789012345678901234567890}\n"
    found = rules.load(
        tmp_path / "r",
        rules.text("s: {f: 12345678901234567890123}\ncondition: s", more=attribute),
        cache=tmp_path / "c",
    )
    event = {"event.dataset": "test.event", "f": "12345678901234567890123"}
    assert evaluate(found.rules[0].predicate, event) is Verdict.TRUE


# ------------------------------------------------------------------ shipped and public rules


def test_shipped_rules_load_without_problems() -> None:
    """Every shipped rule compiles, sees something, and has an id of its own."""
    found = load_rules([content.shipped("rules")])
    assert not found.problems, [str(p) for p in found.problems]
    assert not found.blind, [(r.path, r.blind) for r in found.blind]
    assert not found.undecidable


@pytest.mark.data
@pytest.mark.slow
def test_public_rules_all_load_and_quickly(data_folder: Path, tmp_path: Path) -> None:
    """All of SigmaHQ loads without a problem; from the cache in far less time than compiling takes."""
    folder = data_folder / "sigma" / "rules"
    begun = time.process_time()
    first = load_rules([folder], cache=tmp_path)
    compiled = time.process_time() - begun
    begun = time.process_time()
    second = load_rules([folder], cache=tmp_path)
    loaded = time.process_time() - begun
    assert len(first.rules) == len(list(rule_files(folder)))
    assert not first.problems
    assert {r.undecidable for r in first.undecidable} == {"nobody defines the placeholder %known_cdcs%"}
    assert all(not r.blind for r in first.rules if r.logsource.product == "windows")
    assert second.rules == first.rules
    assert compiled < 30
    assert loaded < 2
