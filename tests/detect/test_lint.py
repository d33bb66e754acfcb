"""The lint of rules: every kind of finding, each with its place."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from soc import content
from soc.collect.collector import Collectors, load_collectors
from soc.detect.lint import lint, orphans
from soc.detect.logsources import declared_by
from soc.detect.ruleset import load_rules
from soc.detect.samples import samples_path
from soc.detect.skeleton import RULE, SAMPLES
from soc.errors import Problem, Severity

VALUES = {
    "title": "A page",
    "id": "6a5f0c1e-0d52-4c8e-9a64-1b2c3d4e5f60",
    "author": "somebody",
    "date": "2026-03-02",
    "marker": "secret-page",
}
GOOD = RULE.format(**VALUES)
OTHER = GOOD.replace("6a5f0c1e", "7b5f0c1e").replace("title: A page", "title: Another page")


@cache
def collectors() -> Collectors:
    """The shipped collectors."""
    return load_collectors([content.shipped("collectors")])


def findings(folder: Path, *texts: str, samples: bool = True) -> list[Problem]:
    """What lint says of rules `a.yml`, `b.yml` … with these texts."""
    for name, text in zip("abcdef", texts, strict=False):
        path = folder / f"{name}.yml"
        path.write_text(text)
        if samples:
            samples_path(path).parent.mkdir(exist_ok=True)
            samples_path(path).write_text(SAMPLES.format(**VALUES))
    ruleset = load_rules([folder], cache=False, declared=declared_by(collectors()))
    return lint(ruleset, collectors=collectors(), playbooks={"web-shell"})


def without(*starts: str) -> str:
    """The good rule without the lines that begin so, and what is indented below them."""
    out, skipping = [], False
    for line in GOOD.splitlines():
        skipping = line.startswith(starts) or (skipping and line.startswith(" "))
        if not skipping:
            out.append(line)
    return "\n".join(out) + "\n"


def test_a_good_rule_has_no_finding(tmp_path: Path) -> None:
    """The skeleton, which everybody copies, is clean."""
    assert not findings(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("text", "kind", "words", "line"),
    [
        (without("tags:"), "no_tags", "ATT&CK", 2),
        (without("falsepositives:"), "no_falsepositives", "without harm", 2),
        (without("description:"), "no_description", "why that matters", 2),
        (without("level:"), "no_level", "medium is taken", 2),
        (without("custom_attributes:"), "no_playbook", "no playbook says", 2),
        (GOOD.replace("[web-shell]", "[web-shel]"), "unknown_playbook", "no playbook 'web-shel'", 25),
        (GOOD.replace("category: webserver", "category: nosuch"), "blind", "category nosuch", 13),
        (GOOD.replace("sc-status", "sc-state"), "unknown_field", "no field pipeline maps sc-state", 19),
        (
            GOOD.replace("sc-status: 200", "vulnerability.id: x"),
            "uncollected_field",
            "writes vulnerability.id",
            19,
        ),
        (GOOD.replace("sc-status: 200", "user.name|expand: '%nosuch%'"), "undecidable", "nosuch", 15),
    ],
    ids=lambda value: value if isinstance(value, str) and value.replace("_", "").isalpha() else "",
)
def test_a_weakness_is_one_finding_with_its_place(
    tmp_path: Path, text: str, kind: str, words: str, line: int
) -> None:
    """Exactly this finding, at the line that is to be changed."""
    found = [p for p in findings(tmp_path, text) if p.kind == kind]
    assert len(found) == 1, [str(p) for p in findings(tmp_path, text)]
    assert words in found[0].message
    assert found[0].place.path == str(tmp_path / "a.yml")
    assert found[0].place.line == line, str(found[0])


def test_a_field_that_another_may_stand_for_is_no_finding(tmp_path: Path) -> None:
    """Where a name is mapped to several fields, one that is collected is enough."""
    rule = GOOD.replace("category: webserver", "category: proxy").replace("cs-uri-stem", "c-uri")
    assert not findings(tmp_path, rule)


def test_a_blind_rule_has_one_finding(tmp_path: Path) -> None:
    """Nobody collects what it looks at; its fields are not listed as well."""
    kinds = [p.kind for p in findings(tmp_path, GOOD.replace("category: webserver", "product: nosuch"))]
    assert kinds == ["blind"]


def test_warnings_and_errors_are_told_apart(tmp_path: Path) -> None:
    """What a foreign rule lacks is a warning; what keeps it from meaning what it says is an error."""
    lacking = findings(tmp_path, without("tags:", "falsepositives:", "custom_attributes:", "level:"))
    assert {p.severity for p in lacking} == {Severity.WARNING}
    wrong = findings(tmp_path, GOOD.replace("[web-shell]", "[nosuch]"))
    assert [p.severity for p in wrong] == [Severity.ERROR]


def test_samples_that_lack_are_found(tmp_path: Path) -> None:
    """A rule without samples is named; so is one whose samples name an unknown collector."""
    (found,) = findings(tmp_path, GOOD, samples=False)
    assert found.kind == "no_samples"
    samples_path(tmp_path / "a.yml").parent.mkdir()
    text = SAMPLES.format(**VALUES).replace("collector: nginx", "collector: ngnix", 1)
    samples_path(tmp_path / "a.yml").write_text(text)
    (found,) = findings(tmp_path, GOOD, samples=False)
    assert (found.kind, found.place.line) == ("unknown_collector", 3)


def test_a_rule_that_says_the_same_as_another_is_found(tmp_path: Path) -> None:
    """The same title, the same condition, and the same id are three findings of their own."""
    assert [p.kind for p in findings(tmp_path, GOOD, OTHER)] == ["duplicate"]
    renamed = OTHER.replace("title: Another page", "title: a PAGE").replace("secret-page", "other-page")
    assert [p.kind for p in findings(tmp_path, GOOD, renamed)] == ["duplicate_title"]
    assert "duplicate_id" in [p.kind for p in findings(tmp_path, GOOD, GOOD)]


def test_all_findings_come_at_once_in_order(tmp_path: Path) -> None:
    """A broken file hides nothing of its neighbours; findings stand in the order of files and lines."""
    found = findings(
        tmp_path,
        without("tags:", "falsepositives:"),
        "title: [",
        "detection: 5\n",
        OTHER.replace("secret-page", "d"),
    )
    places = [p.place for p in found]
    assert places == sorted(places)
    assert {Path(p.path).name for p in places} == {"a.yml", "b.yml", "c.yml"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00\x01\x02",
        "- 1\n- 2\n",
        "title: x\n" * 2,
        "a: &a [*a]\n",
        "title: x\ndetection:\n  a: 1\n  condition: a and\nlogsource: {category: webserver}\n",
        GOOD.replace("condition: page and answered", "condition: page and nosuch"),
        GOOD.replace("cs-uri-stem|endswith", "cs-uri-stem|nosuch"),
        GOOD.replace("level: low ", "level: loud "),
        GOOD.replace("soc.window: 1h", "soc.window: soon"),
        GOOD.replace("soc.window", "soc.windw"),
        GOOD.replace("custom_attributes:", "custom_attributes: none\nx:"),
    ],
)
def test_broken_rules_are_findings_and_nothing_is_raised(tmp_path: Path, text: str) -> None:
    """Whatever stands in a file, lint ends with an error that names it."""
    found = findings(tmp_path, text)
    assert any(p.severity is Severity.ERROR and p.place.path == str(tmp_path / "a.yml") for p in found)


def test_rules_in_one_file_have_places_of_their_own(tmp_path: Path) -> None:
    """A finding about the second document of a file stands at its line."""
    second = without("tags:").replace("6a5f0c1e", "7b5f0c1e").replace("A page", "B page")
    found = findings(tmp_path, GOOD + "---\n" + second.replace("secret-page", "b-page"))
    (tags,) = [p for p in found if p.kind == "no_tags"]
    assert tags.place.line > GOOD.count("\n")


def test_samples_of_no_rule_are_found(tmp_path: Path) -> None:
    """A file of samples whose rule was renamed is named."""
    findings(tmp_path, GOOD)
    assert not orphans(tmp_path)
    (tmp_path / "a.yml").rename(tmp_path / "z.yml")
    (found,) = orphans(tmp_path)
    assert found.place.path == str(tmp_path / "samples" / "a.yml")


@pytest.mark.data
@pytest.mark.slow
def test_public_rules_can_be_linted(data_folder: Path) -> None:
    """Rules written elsewhere give warnings of what they lack here, and never an exception."""
    folder = data_folder / "sigma" / "rules" / "rules" / "web"
    folder = folder if folder.is_dir() else data_folder / "sigma" / "rules"
    ruleset = load_rules([folder])
    found = lint(ruleset, collectors=collectors(), playbooks=set())
    assert len(ruleset.rules) > 40
    assert {"no_samples", "no_playbook"} <= {p.kind for p in found}
    assert not [p for p in found if p.severity is Severity.ERROR and p.kind != "undecidable"]


def test_every_kind_of_finding_is_documented() -> None:
    """The documentation has the kinds that lint can give, and no others."""
    root = Path(__file__).parents[2]
    sources = [
        root / "soc" / "detect" / name for name in ("lint.py", "habits.py", "samples.py", "ruleset.py")
    ]
    said = set(
        re.findall(
            r'(?:_warning\(|Problem\(|_warn\(\s*document,)\s*"([a-z_]+)"',
            "".join(s.read_text() for s in sources),
        )
    )
    page = (root / "docs" / "writing-rules.md").read_text()
    table = re.findall(r"^\| (`.*?`) \| (?:error|warning)", page, re.MULTILINE)
    documented = set(re.findall(r"`([a-z_]+)`", " ".join(table)))
    assert said - {"missing", "unreadable", "empty"} == documented


def test_a_correlation_is_checked_for_its_fields(tmp_path: Path) -> None:
    """Its rules need not say what an analyst wants to know; a field that nobody knows is found."""
    correlation = (
        "title: Many\nid: 8c5f0c1e-0d52-4c8e-9a64-1b2c3d4e5f60\ncorrelation:\n  type: event_count\n"
        f"  rules: [{VALUES['id']}]\n  group-by: [user.name, Accuont]\n  timespan: 5m\n"
        "  condition: {gte: 10}\n"
    )
    found = [p for p in findings(tmp_path, GOOD, correlation) if p.kind == "unknown_field"]
    assert [(p.severity, Path(p.place.path).name, p.place.line) for p in found] == [
        (Severity.WARNING, "b.yml", 6)
    ]
    kinds = {p.kind for p in findings(tmp_path, GOOD, correlation) if Path(p.place.path).name == "a.yml"}
    assert not kinds & {"no_tags", "no_playbook", "no_samples"}


def test_findings_weigh_what_the_configuration_says(tmp_path: Path) -> None:
    """Warnings may be raised or left out; what keeps a rule from being used stays an error."""
    path = tmp_path / "a.yml"
    path.write_text(GOOD.replace("page and answered", "page and answered and not page"))
    ruleset = load_rules([tmp_path], cache=False, declared=declared_by(collectors()))

    def kinds(**severities: str) -> dict[str, Severity]:
        found = lint(ruleset, collectors=collectors(), playbooks={"web-shell"}, severities=severities)
        return {p.kind: p.severity for p in found}

    assert kinds()["no_samples"] is Severity.WARNING
    assert kinds(no_samples="error")["no_samples"] is Severity.ERROR
    assert "no_samples" not in kinds(no_samples="ignore")
    assert kinds(never="ignore")["never"] is Severity.ERROR


def test_fields_that_the_store_never_saw_are_named(tmp_path: Path) -> None:
    """A rule whose fields were never filled in its log source could see nothing."""
    (tmp_path / "a.yml").write_text(GOOD)
    ruleset = load_rules([tmp_path], cache=False, declared=declared_by(collectors()))
    unfilled = {ruleset.rules[0].id: "url.path never filled in nginx.access"}
    found = lint(ruleset, collectors=collectors(), playbooks={"web-shell"}, unfilled=unfilled)
    assert [p.message for p in found if p.kind == "unfilled_field"] == list(unfilled.values())
