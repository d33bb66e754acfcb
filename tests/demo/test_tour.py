"""`soc demo` from its first line to its last."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc.demo import day
from soc.demo.tour import activation, prepare
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


def tree(folder: Path) -> set[str]:
    """Every file below a folder, by its path in there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_folder_of_a_demo_is_made_anew_in_place(tmp_path: Path) -> None:
    """Only what the demo wrote is replaced: whoever stands in the folder goes on, own files stay."""
    folder = tmp_path / "demo"
    prepare(folder)
    fresh = tree(folder)
    place = folder.stat().st_ino
    (folder / "notes.txt").write_text("mine")
    (folder / "logs" / "web01" / "mine.log").write_text("mine")
    (folder / "store").mkdir()
    (folder / "store" / "soc.db").write_text("old")
    (folder / "answers.yml").write_text("edited: yes\n")
    prepare(folder)
    assert folder.stat().st_ino == place
    assert tree(folder) - fresh == {"notes.txt", "logs/web01/mine.log", "answers.yml.old"}
    assert (folder / "answers.yml.old").read_text() == "edited: yes\n"
    assert "look-at-file" in (folder / "answers.yml").read_text()


def test_a_store_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """The link goes; what it points at stays."""
    folder, other = tmp_path / "demo", tmp_path / "other"
    prepare(folder)
    other.mkdir()
    (other / "soc.db").write_text("mine")
    (folder / "store").symlink_to(other)
    prepare(folder)
    assert (other / "soc.db").read_text() == "mine"
    assert not (folder / "store").exists()


def test_a_file_is_refused(tmp_path: Path) -> None:
    """`--folder` that names a file is a usage error, and the file stays."""
    path = tmp_path / "file"
    path.write_text("mine")
    assert "not a folder" in soc("demo", "--folder", path, cwd=tmp_path).failed(2).err
    assert path.read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("said", [".", "absolute"])
def test_a_demo_from_inside_its_own_folder(tmp_path: Path, said: str) -> None:
    """It ends well, as from anywhere else."""
    folder = tmp_path / "demo"
    prepare(folder)
    name = "." if said == "." else str(folder)
    assert "Then:" in soc("demo", "--folder", name, cwd=folder).ok().out


def test_the_activation_is_said_where_soc_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to say when the shell knows `soc`; else the virtual environment's own line, or its folder."""
    (tmp_path / "soc").touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert activation() == []
    monkeypatch.setenv("PATH", "/nonexistent")
    assert activation() == [f'export PATH={tmp_path}:"$PATH"']
    (tmp_path / "activate").touch()
    assert activation() == [f". {tmp_path}/activate"]


def test_every_file_of_the_attack_is_part_of_the_day() -> None:
    """No line of the story is lost because its file is not written."""
    from importlib import resources

    from soc import yamlio

    story = yamlio.parse(
        resources.files("soc.demo").joinpath("attack.yml").read_text("utf-8"), "attack.yml"
    ).data
    assert set(story) <= set(day.FILES)
    assert all(item["at"] and item["line"] for items in story.values() for item in items)
