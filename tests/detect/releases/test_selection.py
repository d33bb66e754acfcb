"""What `selection.yml` leaves out, why, and where it says so."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from soc.detect.releases.selection import left_out
from soc.detect.ruleset import Ruleset, load_rules
from soc.errors import Severity
from tests.detect import rules

A, B, C, D = (f"{n}a6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90" for n in "1234")


def folder_of(tmp_path: Path, selection: str = "", overrides: str = "") -> Path:
    """A folder with own and imported rules: A (high, stable), B (low, test), C (deprecated), D (imported)."""
    folder = tmp_path / "rules"
    wanted = {
        "a.yml": ("A", A, "status: stable\ntags: [attack.t1059.001]\n"),
        "b.yml": ("B", B, "status: test\nlevel: low\n"),
        "c.yml": ("C", C, "status: deprecated\n"),
        "upstream/sigmahq/rules/d.yml": ("D", D, "status: experimental\nlevel: low\n"),
    }
    for number, (name, (title, id_, more)) in enumerate(wanted.items()):
        detection = f"s: {{f: abc{number}}}\ncondition: s"
        text = rules.text(detection, title=title, id=id_, more=more)
        text = text.replace("level: high\n", "", 1) if "level:" in more else text
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for file, content in (("selection.yml", selection), ("overrides.yml", overrides)):
        if content:
            (folder / file).write_text(dedent(content), encoding="utf-8")
    return folder


def load(folder: Path, *more: Path) -> Ruleset:
    """The rules of a folder, as for tests."""
    return load_rules([folder, *more], declared=rules.DECLARED, cache=False)


def running(found: Ruleset) -> str:
    """The titles of the rules that run, in order."""
    return "".join(sorted(rule.title for rule in found.rules if not rule.off))


@pytest.mark.parametrize(
    ("selection", "titles"),
    [
        ("", "ABD"),
        ("include: []\n", "ABD"),
        ("include: [{level: high}]\n", "A"),
        ("include: [{level: [high, low]}]\n", "ABD"),
        ("include: [{level: high, status: test}]\n", ""),
        ("include: [{from: own}]\n", "AB"),
        ("include: [{from: sigmahq}, {status: stable}]\n", "AD"),
        ("exclude: [{tag: attack.t1059}]\n", "BD"),
        ("exclude: [{tag: attack.t1059.001}]\n", "BD"),
        ("exclude: [{tag: attack.t105}]\n", "ABD"),
        ("exclude: [{logsource: {category: test}}]\n", ""),
        ("exclude: [{logsource: {category: test, product: windows}}]\n", "ABD"),
        # an entry by id beats one by other things
        (f"include: [{{id: {A.upper()}}}]\nexclude: [{{level: [high, low]}}]\n", "A"),
        (f"include: [{{level: [high, low]}}]\nexclude: [{{id: [{B}, {D}]}}]\n", "A"),
        # what is retired runs when it is asked for by status or id, and not by other things
        ("include: [{status: deprecated}]\n", "C"),
        (f"include: [{{id: {C}}}, {{from: own}}]\n", "ABC"),
        ("include: [{level: high}, {from: own}]\n", "AB"),
    ],
)
def test_what_runs(tmp_path: Path, selection: str, titles: str) -> None:
    """Include, exclude, ids, retired rules: all come out as documented, and nothing is lost."""
    found = load(folder_of(tmp_path, selection))
    assert running(found) == titles
    assert len(found.rules) == 4
    assert not found.errors
    assert {rule.title for rule in found.runnable} == set(titles)


def test_what_is_left_out_is_told_with_its_number_and_place(tmp_path: Path) -> None:
    """Nothing is skipped silently: how many, why, and the file and line that say so."""
    folder = folder_of(tmp_path, "exclude:\n  - level: low\n    reason: too many here\n")
    found = load(folder)
    (b,) = [rule for rule in found.rules if rule.title == "B"]
    assert b.off == "excluded by the selection: too many here"
    assert b.decided == {"state": f"{folder}/selection.yml:2:5"}
    assert left_out(found.rules) == (
        f"3 rules not selected: 2 excluded by the selection ({folder}/selection.yml:2:5); "
        "1 its status is deprecated"
    )
    assert left_out([rule for rule in found.rules if not rule.off]) == ""


@pytest.mark.parametrize(
    ("selection", "kind", "line"),
    [
        ("include: [\n", "yaml_syntax", 2),
        ("included:\n  - level: high\n", "unknown_key", 1),
        ("include:\n  - level: hihg\n", "release", 2),
        ("include:\n  - status: [test, old]\n", "release", 2),
        ("include:\n  - levels: high\n", "unknown_key", 2),
        ("include:\n  - reason: because\n", "release", 2),
        ("include:\n  - {}\n", "release", 2),
        ("include: {level: high}\n", "release", 1),
        ("- level: high\n", "release", 1),
        ("exclude:\n  - logsource: {products: windows}\n", "unknown_key", 2),
        ("exclude:\n  - level:\n", "release", 2),
        (f"include:\n  - id: {A}\nexclude:\n  - id: {A}\n", "contradiction", 4),
    ],
)
def test_a_broken_selection_is_an_error_with_its_line(
    tmp_path: Path, selection: str, kind: str, line: int
) -> None:
    """A selection that cannot be understood stops the rules from being used."""
    found = load(folder_of(tmp_path, selection))
    problem = next(p for p in found.errors if p.kind == kind)
    assert (Path(problem.place.path).name, problem.place.line) == ("selection.yml", line)


def test_entries_whose_rule_is_gone_or_that_mean_none_are_named(tmp_path: Path) -> None:
    """Upstream removed or renamed a rule: the selection that names it is told."""
    gone = A.replace("1a", "9a")
    folder = folder_of(tmp_path, f"exclude:\n  - id: {gone}\n  - tag: attack.t9999\n  - level: low\n")
    found = load(folder)
    assert [(p.kind, p.place.line, p.severity) for p in found.problems] == [
        ("unknown_rule", 2, Severity.WARNING),
        ("idle_entry", 3, Severity.WARNING),
    ]


def test_one_selection_decides(tmp_path: Path) -> None:
    """A second folder with a selection of its own is an error that names the first."""
    first = folder_of(tmp_path / "1", "exclude: [{level: low}]\n")
    second = folder_of(tmp_path / "2", "include: [{level: low}]\n")
    (problem,) = load(first, second).errors
    assert problem.kind == "second_selection"
    assert str(first) in problem.message
    assert problem.place.path == str(second / "selection.yml")


def test_a_rule_that_another_made_obsolete_does_not_run(tmp_path: Path) -> None:
    """`related` of type obsolete, merged or renamed: the older rule goes, unless it is asked for."""
    folder = folder_of(tmp_path)
    newer = folder / "a.yml"
    text = newer.read_text() + f"related:\n  - id: {B}\n    type: obsolete\n  - id: {D}\n    type: similar\n"
    newer.write_text(text)
    found = load(folder)
    assert running(found) == "AD"
    assert found.by_id[B].off == "A took its place (obsolete)"
    (folder / "selection.yml").write_text(f"include: [{{id: {B}}}, {{from: [own, sigmahq]}}]\n")
    assert running(load(folder)) == "ABD"
    # a newer rule that does not run itself takes nobody's place
    (folder / "selection.yml").write_text(f"exclude: [{{id: {A}}}]\n")
    assert running(load(folder)) == "BD"


def test_a_correlation_gets_the_hits_of_rules_that_are_not_selected(tmp_path: Path) -> None:
    """The base rule of a running correlation is matched and counted, whatever the selection says of it."""
    folder = folder_of(tmp_path, "include: [{level: high}]\n")
    correlation = f"""
        title: Many B
        id: {D.replace("4a", "5a")}
        level: high
        correlation:
          type: event_count
          rules: ['{B}']
          group-by: [host.name]
          timespan: 1h
          condition: {{gte: 10}}
        """
    (folder / "many.yml").write_text(dedent(correlation))
    found = load(folder)
    assert not found.errors
    base = found.by_id[B]
    assert (base.off, base.mode) == ("", "shadow")
    assert base.decided["mode"] == "needed by the correlation Many B"
    assert base.runnable


def test_the_rules_of_a_correlation_that_does_not_run_do_not_either(tmp_path: Path) -> None:
    """Rules that are in a file for its correlation alone would alert about what is normal, by themselves."""
    base = rules.text("s: {f: login}\ncondition: s", title="Login", id=D.replace("4a", "6a"))
    many = f"""
        title: Many logins
        id: {D.replace("4a", "5a")}
        level: high
        correlation:
          type: event_count
          rules: ['{D.replace("4a", "6a")}', '{B}']
          group-by: [host.name]
          timespan: 1h
          condition: {{gte: 10}}
        """
    folder = folder_of(tmp_path, f"exclude: [{{id: {D.replace('4a', '5a')}}}]\n")
    (folder / "many.yml").write_text(base + "---" + dedent(many))
    found = load(folder)
    assert not found.errors
    login = found.by_id[D.replace("4a", "6a")]
    assert login.off == "it is there for a correlation that does not run: Many logins"
    assert not found.by_id[B].off  # has a file of its own, and alerts by itself
    (folder / "selection.yml").write_text("include: [{level: high}]\n")
    assert running(load(folder)) == "".join(sorted(["A", "B", "Login", "Many logins"]))
    (folder / "selection.yml").write_text(
        f"include: [{{id: {login.id}}}]\nexclude: [{{level: [high, low]}}]\n"
    )
    assert running(load(folder)) == "Login"


def test_an_own_copy_takes_the_place_of_an_imported_rule(tmp_path: Path) -> None:
    """Own and imported rules of one folder may have one id: the own rule holds and says what it replaces."""
    folder = folder_of(tmp_path)
    own = folder / "mine.yml"
    own.write_text(rules.text("s: {f: mine}\ncondition: s", title="Mine", id=D))
    found = load(folder)
    assert not found.errors
    rule = found.by_id[D]
    assert (rule.title, rule.origin) == ("Mine", "own")
    assert rule.decided["replaces"].endswith("upstream/sigmahq/rules/d.yml")


def test_the_selection_counts_in_the_cache_too(tmp_path: Path) -> None:
    """A changed selection holds at once, with the compiled rules from the cache."""
    folder = folder_of(tmp_path, "include: [{level: high}]\n")
    cache = tmp_path / "cache"
    for selection, titles in (("include: [{level: high}]\n", "A"), ("include: [{level: low}]\n", "BD")):
        (folder / "selection.yml").write_text(selection)
        found = load_rules([folder], declared=rules.DECLARED, cache=cache)
        assert running(found) == titles
