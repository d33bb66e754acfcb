"""`soc register`, run as a program."""

from __future__ import annotations

from pathlib import Path

from tests.harness import soc


def test_list_answers_first_and_teaches_only_without_a_register(tmp_path: Path) -> None:
    """That nothing is listed is the first line; how to write a register comes after it."""
    bare = soc("register", "list", cwd=tmp_path).ok().err.splitlines()
    assert bare[0] == "no asset is listed"
    assert "systems:" in bare
    assert "no register yet" in soc("register", "show", "web01", cwd=tmp_path).failed(1).err
    (tmp_path / "soc.yml").write_text("register: register.yml\n")
    (tmp_path / "register.yml").write_text("systems:\n  - {name: portal, level: 4}\n")
    assert soc("register", "list", cwd=tmp_path).ok().err.splitlines() == ["no asset is listed"]
    assert "does not list it" in soc("register", "show", "web01", cwd=tmp_path).failed(1).err
