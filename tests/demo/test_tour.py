"""`soc demo` from its first line to its last."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.demo import day
from tests.harness import soc


@pytest.mark.slow
def test_the_demo_shows_everything_and_can_be_gone_on_from(tmp_path: Path) -> None:
    """Queue, run, verified audit chain and next commands; afterwards its folder is a place to work in."""
    folder = tmp_path / "demo"
    out = soc("demo", "--folder", folder, cwd=tmp_path, env={"SOC_STORE": "/nonexistent"}).ok().out
    for part in ("Script called in an upload folder", "contained", "intact", "soc alert next"):
        assert part in out
    assert (
        sum(out.count(layer) for layer in ("assessment", "national-centre", "sensor", "portal-access")) >= 4
    )
    rows = soc("alert", "list", "--output", "json", cwd=folder).ok().json
    assert len(rows) > 10
    soc("audit", "verify", cwd=folder).ok()
    layers = {
        event["soc.layer"]
        for event in soc("search", "", "--output", "jsonl", "--limit", 10000, cwd=folder).ok().jsonl
    }
    assert layers == {1, 2, 3, 4}


@pytest.mark.slow
def test_a_second_demo_replaces_the_first_but_nothing_else(tmp_path: Path) -> None:
    """A folder of an earlier demo is made anew; any other folder is refused and left alone."""
    folder = tmp_path / "demo"
    soc("demo", "--folder", folder, cwd=tmp_path).ok()
    soc("demo", "--folder", folder, cwd=tmp_path).ok()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "report.txt").write_text("mine")
    assert "holds something else" in soc("demo", "--folder", mine, cwd=tmp_path).failed(2).err
    assert [path.name for path in mine.iterdir()] == ["report.txt"]


def test_every_file_of_the_attack_is_part_of_the_day() -> None:
    """No line of the story is lost because its file is not written."""
    from importlib import resources

    from soc import yamlio

    story = yamlio.parse(
        resources.files("soc.demo").joinpath("attack.yml").read_text("utf-8"), "attack.yml"
    ).data
    assert set(story) <= set(day.FILES)
    assert all(item["at"] and item["line"] for items in story.values() for item in items)
