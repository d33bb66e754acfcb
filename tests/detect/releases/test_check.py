"""The check for CI: which rules a change concerns, what fails, and what is never silently green."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from xml.etree.ElementTree import parse

import pytest

from soc.config import Config, StoreSettings
from soc.detect.releases import check, git, junit
from soc.detect.releases.junit import Case
from soc.errors import Place, SocError, UsageError
from tests.detect import rules
from tests.detect.releases.test_importer import git_in
from tests.detect.releases.test_publish import commit

A, B, C, D, E, F = (f"{n}d6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90" for n in "123456")
WEB = "{category: webserver}"


def rule(id_: str, title: str, value: str, *, logsource: str = WEB, field: str = "cs-uri-query") -> str:
    """A rule on requests, by the name of the field in Sigma."""
    detection = f"s: {{{field}|contains: '{value}'}}\ncondition: s"
    return rules.text(detection, title=title, id=id_, logsource=logsource)


def samples(value: str) -> str:
    """Samples of it: one that fires, one that does not."""
    line = '192.0.2.7 - - [02/Mar/2026:07:00:00 +0000] "GET /?q={} HTTP/1.1" 200 1 "-" "-"'
    return dedent(f"""
        cases:
          - {{name: fires, expect: fires, collector: nginx, lines: ['{line.format(value)}']}}
          - {{name: silent, expect: silent, collector: nginx, lines: ['{line.format("plain")}']}}
        """)


FILES = {
    "rules/a.yml": rule(A, "A", "attack-a"),
    "rules/samples/a.yml": samples("attack-a"),
    "rules/b.yml": rule(B, "B", "attack-b"),
    "rules/samples/b.yml": samples("attack-b"),
    "rules/win.yml": rule(C, "C", "c", logsource="{product: windows, service: security}", field="Odd"),
    "rules/upstream/sigmahq/up.yml": rule(D, "D", "attack-d"),
    "rules/expand.yml": rule(F, "Expand", "x").replace("contains: 'x'", "expand: '%robots%'"),
    "rules/lists/robots.txt": "wget\n",
    "rules/pipelines/web.yml": (
        "name: own-web\nlogsource: {category: webserver}\nmappings: [{fields: {Odd: url.path}}]\n"
    ),
    "rules/overrides.yml": (
        f"overrides:\n  - match: {{id: {A}}}\n    set: {{level: low}}\n"
        f"  - match: {{id: {C}}}\n    set: {{level: low}}\n"
    ),
    "rules/selection.yml": f"exclude:\n  - id: {E}\n",
    "README.md": "content\n",
}


def write(folder: Path, files: Mapping[str, str | None]) -> None:
    """Write files, and remove those that are None."""
    for name, text in files.items():
        path = folder / name
        if text is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A content repository in a commit."""
    folder = tmp_path / "content"
    write(folder, FILES)
    git_in(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


@pytest.fixture
def config(tmp_path: Path, content: Path) -> Config:
    """Its configuration; the store is never opened."""
    return Config(None, StoreSettings(str(tmp_path / "nowhere" / "store")), rules=(content / "rules",))


def looked_at(report: check.Report) -> str:
    """The rules that were linted."""
    return "".join(sorted(case.name[0] for case in report.cases if case.suite == "lint"))


def faults(report: check.Report) -> list[tuple[str, str]]:
    """Check and name of what failed."""
    return [(case.suite, case.name) for case in report.cases if case.status == "failed"]


CORRELATION = dedent(f"""
    title: Many of B
    id: {E}
    status: test
    level: high
    correlation:
      type: event_count
      rules: ['{B}']
      group-by: [source.ip]
      timespan: 1h
      condition: {{gte: 10}}
    """)
EXCEPTION = dedent("""
    title: Scanner of our own
    id: 9d6b1f2c-0d3e-4f41-9a57-0c2f6d1e8b90
    logsource: {category: webserver}
    filter:
      rules: [RULE]
      ours: {source.ip: 192.0.2.99}
      condition: not ours
    """)


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"rules/a.yml": rule(A, "A", "attack-a").replace("level: high", "level: low")}, "a"),
        ({"rules/samples/b.yml": samples("attack-b") + "# more\n"}, "b"),
        # a pipeline concerns every rule that it maps, imported and shipped ones as well
        ({"rules/pipelines/web.yml": FILES["rules/pipelines/web.yml"] + "prefix: x.\n"}, "abeu+"),
        ({"rules/pipelines/web.yml": None}, "abeu+"),
        # … and one that came to be
        ({"rules/pipelines/win.yml": "name: w\nlogsource: {product: windows}\nprefix: y.\n"}, "w+"),
        # only the rules that a changed entry means
        ({"rules/overrides.yml": FILES["rules/overrides.yml"].replace("level: low", "level: high", 1)}, "a"),
        ({"rules/overrides.yml": None}, "aw"),
        ({"rules/selection.yml": f"exclude:\n  - id: {E}\n  - id: {B}\n    reason: loud\n"}, "b"),
        ({"rules/exceptions/e.yml": EXCEPTION.replace("RULE", B)}, "b"),
        ({"rules/exceptions/e.yml": EXCEPTION.replace("[RULE]", "any")}, "abeu+"),
        ({"rules/upstream/sigmahq/up.yml": rule(D, "D", "changed")}, "u"),
        # a list concerns the rules that name it
        ({"rules/lists/robots.txt": "curl\n"}, "e"),
        # a rule that is correlated concerns the correlation
        ({"rules/many.yml": CORRELATION, "rules/selection.yml": FILES["rules/selection.yml"]}, "m"),
    ],
)
def test_what_a_change_concerns(
    content: Path, config: Config, changed: dict[str, str | None], names: str
) -> None:
    """Rules, samples, pipelines, selection, overrides, exceptions, imported rules: each its own rules."""
    write(content, changed)
    report = check.check(config, since="HEAD")
    found = looked_at(report)
    if names.endswith("+"):  # and shipped rules
        assert set(names[:-1]) <= set(found)
        assert len(found) > len(names)
    else:
        assert found == names
    assert report.checked


def test_a_changed_base_rule_concerns_its_correlation(content: Path, config: Config) -> None:
    """What a correlation counts is part of what it means."""
    write(content, {"rules/many.yml": CORRELATION, "rules/selection.yml": "exclude: []\n"})
    commit(content)
    write(content, {"rules/b.yml": rule(B, "B", "attack-b").replace("level: high", "level: low")})
    assert looked_at(check.check(config, since="HEAD")) == "bm"


def test_rules_of_a_correlation_are_tested_with_it(content: Path, config: Config) -> None:
    """The rules in the file of a correlation have no samples of their own, and that is no fault."""
    base = rule(E.replace("5d", "7d"), "Base", "attack-z").replace("id:", "name: base_of_many\nid:", 1)
    many = CORRELATION.replace(f"'{B}'", "base_of_many").replace("gte: 10", "gte: 3")
    given = samples("attack-z").replace("lines:", "repeat: {times: 3, every: 1m}, lines:")
    write(content, {"rules/many.yml": base + "---" + many, "rules/samples/many.yml": given})
    write(content, {"rules/selection.yml": "exclude: []\n"})
    report = check.check(config, since="HEAD")
    said = {case.place.line: case for case in report.cases if case.suite == "test" and case.place}
    assert not faults(report), [case.details for case in report.cases if case.status == "failed"]
    assert sorted((case.status, case.message) for case in said.values()) == [
        ("passed", ""),
        ("skipped", "tested with the correlation over it"),
    ]


def test_a_good_change_passes_and_a_broken_one_fails(content: Path, config: Config) -> None:
    """A rule whose samples no longer fire, one that cannot be read, samples that lost their rule."""
    write(content, {"rules/a.yml": rule(A, "A", "attack-a") + "# note\n"})
    good = check.check(config, since="HEAD")
    assert not faults(good)
    assert [(c.suite, c.name, c.status) for c in good.cases] == [
        ("lint", "a", "passed"),
        ("test", "a", "passed"),
    ]
    broken = {
        "rules/a.yml": rule(A, "A", "something else"),
        "rules/b.yml": "title: [\n",
        "rules/samples/lost.yml": samples("x"),
        "rules/pipelines/web.yml": "name: [\n",
    }
    write(content, broken)
    found = faults(check.check(config, since="HEAD"))
    assert ("test", "a") in found
    assert {("files", "b.yml"), ("files", "lost.yml"), ("files", "web.yml")} <= set(found)


def test_a_rule_that_does_not_run_is_tested_and_not_held_against_the_change(
    content: Path, config: Config
) -> None:
    """Errors of a rule that is not selected are said and skipped; its samples are run all the same."""
    more = "custom_attributes: {soc.playbooks: [none-such]}\n"
    write(
        content,
        {
            "rules/a.yml": rule(A, "A", "attack-a") + more,
            "rules/selection.yml": f"exclude: [{{id: [{E}, {A}]}}]\n",
        },
    )
    report = check.check(config, since="HEAD")
    cases = {case.suite: case for case in report.cases if case.name == "a"}
    assert cases["lint"].status == "skipped"
    assert "not selected" in cases["lint"].message
    assert cases["test"].status == "passed"
    assert not faults(report)


def test_nothing_changed_is_said(content: Path, config: Config) -> None:
    """No change, or one that concerns no rule: no case, and a line that says so."""
    report = check.check(config, since="HEAD")
    assert report.nothing
    assert list(report.summary()) == ["no rule changed since HEAD: there is nothing to check"]
    write(content, {"README.md": "new\n", "rules/NOTES.md": "new\n", "rules/.hidden.yml": "x: y\n"})
    assert check.check(config, since="HEAD").nothing
    write(content, {"rules/selection.yml": FILES["rules/selection.yml"] + "# a remark\n"})
    report = check.check(config, since="HEAD")
    assert (report.rules, report.failed, report.checked) == (0, 0, 1)


def test_a_removed_rule_may_not_be_named_any_more(content: Path, config: Config) -> None:
    """Removing a rule that an override names is a failure with the place; without, it passes."""
    write(content, {"rules/b.yml": None, "rules/samples/b.yml": None})
    report = check.check(config, since="HEAD")
    assert [(c.suite, c.name, c.status) for c in report.cases] == [("removed", "B", "passed")]
    write(content, {"rules/a.yml": None, "rules/samples/a.yml": None})
    report = check.check(config, since="HEAD")
    assert faults(report) == [("removed", "A")]
    (case,) = [case for case in report.cases if case.status == "failed"]
    assert case.details == (f"{content}/rules/overrides.yml:2:5: override of level",)


def test_a_branch_is_compared_with_where_it_began(content: Path, config: Config) -> None:
    """What others changed on main in the meantime is not checked again."""
    git_in(content, "checkout", "-qb", "work")
    write(content, {"rules/a.yml": rule(A, "A", "attack-a") + "# note\n"})
    commit(content)
    git_in(content, "checkout", "-q", "main")
    write(content, {"rules/b.yml": rule(B, "B", "attack-b") + "# note\n"})
    commit(content)
    git_in(content, "checkout", "-q", "work")
    assert looked_at(check.check(config, since="main")) == "a"


def test_without_a_reference_all_own_rules_are_checked(content: Path, config: Config) -> None:
    """Imported rules that did not change are one line, whatever is wrong with them."""
    report = check.check(config)
    assert looked_at(report) == "abew"
    said = [line for line in report.summary() if "imported" in line]
    assert len(said) == 1
    assert said[0].startswith("1 unchanged imported rule: 0 errors, ")
    assert looked_at(check.check(config, [content / "rules" / "a.yml"])) == "a"
    assert looked_at(check.check(Config(None, config.store), [content / "rules"])) == "abew"


def test_unusable_arguments(content: Path, config: Config, tmp_path: Path) -> None:
    """No git, no such commit, no such path, no rules: usage errors that say what to do."""
    outside = tmp_path / "outside"
    write(outside, {"a.yml": FILES["rules/a.yml"]})
    with pytest.raises(UsageError, match="not in a git repository"):
        check.check(Config(None, config.store, rules=(outside,)), since="HEAD")
    for ref in ("no-such-branch", "--help", "-x", "HEAD^{tree}", "; rm -rf /", ""):
        if ref:
            with pytest.raises(UsageError, match="knows no commit"):
                check.check(config, since=ref)
    with pytest.raises(UsageError, match="no such file"):
        check.check(config, [content / "nowhere"])
    with pytest.raises(UsageError, match="no rules of your own"):
        check.check(Config(None, config.store))


def test_the_backtest_counts_hits_and_can_bound_them(content: Path, config: Config, tmp_path: Path) -> None:
    """Only the rules concerned are matched; too many hits, an unreadable file and no event at all fail."""
    log = tmp_path / "access.log"
    line = '192.0.2.7 - - [02/Mar/2026:07:00:00 +0000] "GET /?q=attack-a HTTP/1.1" 200 1 "-" "-"\n'
    log.write_text(line * 30 + line.replace("attack-a", "plain"))
    write(content, {"rules/a.yml": rule(A, "A", "attack-a") + "# note\n"})
    report = check.check(config, since="HEAD", events=[str(log)], most_hits=30)
    cases = [case for case in report.cases if case.suite == "backtest"]
    assert [(c.name, c.status, c.message) for c in cases] == [("a", "passed", "30 hits in 31 events")]
    report = check.check(config, since="HEAD", events=[str(log)], most_hits=29)
    assert faults(report) == [("backtest", "a")]
    empty = tmp_path / "empty.log"
    empty.write_text("")
    report = check.check(config, since="HEAD", events=[str(empty)])
    assert faults(report) == [("backtest", "events")]
    report = check.check(config, since="HEAD", events=[str(log), str(tmp_path / "none.log")])
    assert faults(report) == [("backtest", str(tmp_path / "none.log"))]
    assert not config.store.target or not Path(config.store.target).exists()


def test_junit_has_a_case_for_each_rule_and_check(tmp_path: Path) -> None:
    """Counts, failures with text and place, skipped ones; control characters cannot break the file."""
    path = tmp_path / "report.xml"
    cases = [
        Case("lint", "rules/a.yml", "a", "passed", details=("a warning",), place=Place("rules/a.yml", 1)),
        Case("lint", "rules/b.yml", "b <&\x00\x1b[2J>", "failed", "bad \x07", ("detail ]]>",)),
        Case("test", "rules/a.yml", "a", "skipped", "it has no samples", seconds=1.5),
    ]
    junit.write(path, "soc rule check", cases)
    root = parse(path).getroot()  # noqa: S314 - written by us a moment ago
    assert root.attrib == {
        "name": "soc rule check", "tests": "3", "failures": "1", "errors": "0", "skipped": "1",
        "time": "1.500",
    }  # fmt: skip
    assert [suite.get("name") for suite in root] == ["lint", "test"]
    first, second = root[0]
    assert (first.get("classname"), first.get("file"), first.get("line")) == (
        "rules/a.yml",
        "rules/a.yml",
        "1",
    )
    assert first.findtext("system-out") == "a warning"
    failure = second.find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("bad \N{REPLACEMENT CHARACTER}", "detail ]]>")
    with pytest.raises(SocError, match="cannot be written"):
        junit.write(tmp_path / "no" / "report.xml", "x", cases)
    assert [p.name for p in tmp_path.iterdir()] == ["report.xml"]


def test_names_that_mislead_git_do_not(content: Path, config: Config) -> None:
    """Odd file names are names: with blanks, quotes, non-ASCII and a leading dash."""
    for number, name in enumerate(["with blank.yml", "-dash.yml", "quyết định.yml", 'quote".yml']):
        id_ = f"0{number}d6b1f2-0d3e-4f41-9a57-0c2f6d1e8b90"
        write(content, {f"rules/{name}": rule(id_, f"Odd {number}", f"odd{number}")})
    report = check.check(config, since="HEAD")
    assert report.rules == 4
    commit(content)
    assert check.check(config, since="HEAD").nothing
    checkout = git.require_checkout(content)
    odd = content.resolve() / "rules" / "quyết định.yml"
    there = checkout.texts_at(checkout.commit, [odd, content.resolve() / "rules" / "none.yml"])
    assert there == {odd: odd.read_text()}
