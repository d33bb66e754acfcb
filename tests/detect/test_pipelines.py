"""Field pipelines: names mapped by the first mapping that knows them, and problems with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc import content
from soc.detect.pipelines import load_pipelines
from soc.detect.rule import Logsource
from soc.ecs import is_known

WINDOWS = Logsource("process_creation", "windows")


def written(folder: Path, text: str, name: str = "p.yml") -> Path:
    """A folder of rules with this pipeline."""
    (folder / "pipelines").mkdir(parents=True, exist_ok=True)
    (folder / "pipelines" / name).write_text(text)
    return folder


def test_first_mapping_decides(tmp_path: Path) -> None:
    """The first mapping that covers the rule's log source names the field; the prefix takes the rest."""
    text = """
logsource: {product: windows}
mappings:
  - logsource: {category: [process_creation, process_access]}
    fields: {Image: process.executable, Both: [a.b, c.d]}
  - fields: {Image: other, EventID: event.code}
prefix: winlog.event_data.
"""
    found = load_pipelines([written(tmp_path, text)])
    assert not found.problems
    assert found.targets(WINDOWS, "Image") == ("process.executable",)
    assert found.targets(Logsource("file_event", "windows"), "Image") == ("other",)
    assert found.targets(WINDOWS, "Both") == ("a.b", "c.d")
    assert found.targets(WINDOWS, "EventID") == ("event.code",)
    assert found.targets(WINDOWS, "Hashes") == ("winlog.event_data.Hashes",)
    assert found.targets(WINDOWS, "winlog.channel") == ("winlog.channel",)
    assert found.targets(Logsource("process_creation", "linux"), "Image") == ("Image",)


def test_a_users_pipeline_comes_first(tmp_path: Path) -> None:
    """A pipeline of a later folder overrides one of an earlier folder."""
    shipped = written(tmp_path / "a", "mappings: [{fields: {f: one, g: two}}]")
    own = written(tmp_path / "b", "mappings: [{fields: {f: mine}}]\nplaceholders: {x: [1, b]}")
    found = load_pipelines([shipped, own])
    assert found.targets(WINDOWS, "f") == ("mine",)
    assert found.targets(WINDOWS, "g") == ("two",)
    assert found.placeholder("x") == ("1", "b")
    assert found.placeholder("y") is None
    assert found.digest != load_pipelines([own]).digest


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense: 1", 1),
        ("mappings: {}", 1),
        ("mappings:\n  - field: {a: b}", 2),
        ("mappings:\n  - fields: {a: []}", 2),
        ("mappings:\n  - fields: {a: {b: c}}", 2),
        ("logsource:\n  brand: x", 2),
        ("sources:\n  - logsource: {service: x}", 2),
        ("- a list", 1),
        ("a: [", 1),
    ],
)
def test_problems_are_placed(text: str, line: int, tmp_path: Path) -> None:
    """What is wrong with a pipeline is an error with file and line, and the pipeline is left out."""
    found = load_pipelines([written(tmp_path, text)])
    assert not found.pipelines
    assert found.problems
    assert {p.place.path for p in found.problems} == {str(tmp_path / "pipelines" / "p.yml")}
    assert found.problems[0].place.line in (line, line + 1)


def test_shipped_pipelines_map_to_known_fields() -> None:
    """Every target of a shipped mapping is a field of ECS or ours: no rule waits for a misspelt name."""
    found = load_pipelines([content.shipped("rules")])
    assert not found.problems
    mappings = [m for p in found.pipelines for m in p.mappings]
    targets = {t for m in mappings for names in m.fields.values() for t in names}
    unknown = sorted(t for t in targets if not is_known(t) and not t.startswith("auditd.log."))
    assert not unknown
