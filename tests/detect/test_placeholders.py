"""Lists of values for rules: where they come from, and what changes with them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from soc import config as configuration
from soc.detect.placeholders import MOST, load_placeholders
from soc.detect.predicate import matches
from soc.detect.ruleset import load_rules
from soc.detect.sweep_job import SweepJob
from soc.errors import ContentError
from tests.detect import rules, world

RULE = rules.text("s: {user.name|expand: '%admins%'}\ncondition: s")


def content(folder: Path, **files: str) -> Path:
    """A folder of rules with one that names a list, and lists (`name__ending`)."""
    (folder / "lists").mkdir(parents=True, exist_ok=True)
    (folder / "rule.yml").write_text(RULE)
    for name, text in files.items():
        (folder / "lists" / name.replace("__", ".")).write_text(text)
    return folder


def named(folders: list[Path], **configured: tuple[str, ...] | Path) -> set[str]:
    """The users on which the rule is true."""
    found = load_rules(folders, declared=rules.DECLARED, placeholders=configured, cache=folders[0] / "cache")
    assert not found.problems, [str(p) for p in found.problems]
    (rule,) = found.rules
    users = ("root", "adm-hoa", "an", "binh")
    return {u for u in users if matches(rule.predicate, {"event.dataset": "test.event", "user.name": u})}


def test_nobody_defines_it(tmp_path: Path) -> None:
    """Without a list the rule is undecidable, with the reason, and never silently false."""
    (rule,) = load_rules([content(tmp_path)], declared=rules.DECLARED, cache=False).rules
    assert rule.undecidable == "nobody defines the placeholder %admins%"


def test_a_list_that_cannot_be_used(tmp_path: Path) -> None:
    """An empty or broken list is the reason, with its path; also when it breaks in another way later."""
    folder = content(tmp_path, admins__txt="# nobody yet\n")

    def reason() -> str:
        (rule,) = load_rules([folder], declared=rules.DECLARED, cache=tmp_path / "cache").rules
        return rule.undecidable

    path = folder / "lists" / "admins.txt"
    assert reason() == f"the list of the placeholder %admins% cannot be used: {path}: the list holds no value"
    path.write_text("x\n" * 2 + "".join(f"{n}\n" for n in range(MOST)))
    assert f"{path}: 10,001 values" in reason()
    path.unlink()
    assert reason() == "nobody defines the placeholder %admins%"
    content(folder, admins__yml="a: b")
    assert "admins.yml:1:1: a list of values is expected" in reason()
    content(folder, admins__yml="[root]")
    assert not reason()


def test_where_a_list_comes_from(tmp_path: Path) -> None:
    """The configuration before lists, a later folder before an earlier one, lists before pipelines."""
    one = content(tmp_path / "one", admins__txt="# ours\n\nroot\nadm-*\n")
    two = content(tmp_path / "two", admins__yml="[an]")
    (one / "pipelines").mkdir()
    (one / "pipelines" / "p.yml").write_text("placeholders: {admins: [binh]}")
    assert named([one]) == {"root", "adm-hoa"}
    assert named([one, two]) == {"an"}
    assert named([one, two], admins=("binh",)) == {"binh"}
    elsewhere = tmp_path / "list.txt"
    elsewhere.write_text("an\nbinh\n")
    assert named([one, two], admins=elsewhere) == {"an", "binh"}
    (one / "lists" / "admins.txt").unlink()
    assert named([one]) == {"binh"}


def test_a_changed_list_is_another_version(tmp_path: Path) -> None:
    """The cache of compiled rules does not hide it, and only rules that name a list are compiled anew."""
    folder = content(tmp_path / "rules", admins__txt="root\n")
    (folder / "other.yml").write_text(rules.text("s: {user.name: an}\ncondition: s", title="Other"))

    def versions() -> dict[str, str]:
        found = load_rules([folder], declared=rules.DECLARED, cache=tmp_path / "cache")
        return {rule.title: rule.version for rule in found.rules}

    first = versions()
    assert versions() == first
    (folder / "lists" / "admins.txt").write_text("root\nan\n")
    second = versions()
    assert second["A rule"] != first["A rule"]
    assert second["Other"] == first["Other"]


def test_lists_are_no_rules(tmp_path: Path) -> None:
    """A list in YAML is not read as a rule."""
    folder = content(tmp_path, admins__yml="- root\n- 7\n")
    found = load_rules([folder], declared=rules.DECLARED, cache=False)
    assert (len(found.rules), found.problems) == (1, [])


@pytest.mark.parametrize(
    ("name", "text", "said", "line"),
    [
        ("admins.yml", "root: 1\n", "a list of values is expected", 1),
        ("admins.yml", "- root\n- {a: b}\n", "a text or a number", 2),
        ("admins.txt", "# nobody\n", "holds no value", 0),
        ("admins.txt", "\n".join(map(str, range(MOST + 1))), "10,001 values; 10,000 are the most", 0),
        ("admins.yml", "- [", "", 2),
    ],
)
def test_broken_lists(name: str, text: str, said: str, line: int, tmp_path: Path) -> None:
    """Each with its file and line; none of them ends the loading of the others."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / name).write_text(text)
    (tmp_path / "lists" / "good.txt").write_text("x\n")
    found = load_placeholders([tmp_path])
    (problem,) = found.problems
    assert said in problem.message
    assert (Path(problem.place.path).name, problem.place.line) == (name, line)
    assert found.values == {"good": ("x",)}


def settings(folder: Path, text: str) -> Path:
    """A configuration file."""
    path = folder / "soc.yml"
    path.write_text(dedent(text))
    return path


def test_configuration(tmp_path: Path) -> None:
    """Values, one value, or a file beside soc.yml."""
    path = settings(
        tmp_path, "detect: {placeholders: {admins: [root, 7], host: db01, more: {file: lists/x.txt}}}"
    )
    found = configuration.load(path).placeholders
    assert found == {"admins": ("root", "7"), "host": ("db01",), "more": tmp_path / "lists/x.txt"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("detect: {placeholders: [a]}", "a mapping is expected"),
        ("detect: {placeholders: {a: []}}", "a value, a list of values"),
        ("detect: {placeholders: {a: [{}]}}", "a value, a list of values"),
        ("detect: {placeholders: {a: {fil: x}}}", "did you mean 'file'?"),
        ("detect: {placeholders: {a: {}}}", "or `file:` with a path"),
        ("detect: {placeholder: {}}", "did you mean 'placeholders'?"),
    ],
)
def test_mistakes_in_the_configuration(text: str, said: str, tmp_path: Path) -> None:
    """Each is named with its place."""
    with pytest.raises(ContentError) as caught:
        configuration.load(settings(tmp_path, text))
    assert any(said in p.message and p.place.line == 1 for p in caught.value.problems)


def test_a_running_sweep_takes_up_a_changed_list(tmp_path: Path) -> None:
    """A list in a folder of rules and one beside soc.yml: changed while a sweep runs at intervals."""
    folder = content(tmp_path / "rules", admins__txt="root\n")
    (tmp_path / "own.txt").write_text("an\n")
    (folder / "two.yml").write_text(RULE.replace("%admins%", "%own%").replace("A rule", "Two"))
    text = "content: {rules: [rules]}\ndetect: {placeholders: {own: {file: own.txt}}}\n"
    found = configuration.load(settings(tmp_path, text))
    said: list[str] = []
    with world.open_at(tmp_path / "store") as store:
        job = SweepJob(found, store, folders=[folder], keep_going=True, say=said.append)
        versions = {rule.title: rule.version for rule in job.rules.rules}
        job.refresh()
        assert not said
        for path, title in ((folder / "lists" / "admins.txt", "A rule"), (tmp_path / "own.txt", "Two")):
            path.write_text("root\nchi\n")
            job.refresh()
            now = {rule.title: rule.version for rule in job.rules.rules}
            assert now[title] != versions[title]
    assert len(said) == 2


def test_lists_are_published_with_the_rules(tmp_path: Path) -> None:
    """What decides what is detected goes into a published set: lists as text too, other text not."""
    from soc.detect.releases.publish import _content_files

    folder = content(tmp_path, admins__txt="root\n", more__yml="[a]")
    (folder / "notes.txt").write_text("notes")
    found = {path.relative_to(folder).as_posix() for path in _content_files(folder)}
    assert found == {"rule.yml", "lists/admins.txt", "lists/more.yml"}
