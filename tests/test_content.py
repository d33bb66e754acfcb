"""Where content lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc import content


def test_samples_and_hidden_files_are_not_content(tmp_path: Path) -> None:
    """Only YAML files count; what stands in `samples` belongs to the file beside it."""
    for name in ("b.yml", "a.yaml", "samples/b.yml", ".git/c.yml", "x.txt", "deep/d.yml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [str(p.relative_to(tmp_path)) for p in content.files(tmp_path)]
    assert found == ["a.yaml", "b.yml", "deep/d.yml"]


def test_a_file_is_its_own_folder(tmp_path: Path) -> None:
    """A single file may be named where a folder is expected."""
    path = tmp_path / "one.yml"
    path.touch()
    assert list(content.files(path)) == [path]


def test_content_reads_only_what_stands_beside_it(tmp_path: Path) -> None:
    """A sample's file is in the folder of its content or below; no path and no link leads outside."""
    folder = tmp_path / "content"
    (folder / "deep").mkdir(parents=True)
    for path in (tmp_path / "secret", folder / "a.log", folder / "deep" / "b.log"):
        path.touch()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "loop").symlink_to("loop")
    assert content.beside(folder, "a.log") == folder / "a.log"
    assert content.beside(folder, "deep/b.log").name == "b.log"
    for name in ("../secret", str(tmp_path / "secret"), "link", "/dev/zero", "deep/../../secret"):
        with pytest.raises(ValueError, match="lies outside"):
            content.beside(folder, name)
    for name in ("none", "loop", "deep", "", "x" * 5000):
        with pytest.raises(ValueError, match="there is no file"):
            content.beside(folder, name)


def test_the_three_kinds_are_shipped() -> None:
    """Each folder of content is found from the package."""
    for kind in ("collectors", "rules", "playbooks"):
        assert list(content.files(content.shipped(kind)))
