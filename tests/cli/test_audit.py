"""`soc audit`, run as a program."""

from __future__ import annotations

from pathlib import Path

from tests.harness import soc


def test_verify_says_none_where_there_is_nothing(tmp_path: Path) -> None:
    """An empty row would leave open whether it was looked at; JSON keeps its lists."""
    store = tmp_path / "store"
    soc("store", "init", "--store", store).ok()
    shown = soc("audit", "verify", "--store", store).ok().out
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert (rows["breaks"], rows["intended"]) == ("none", "none")
    data = soc("audit", "verify", "--store", store, "--output", "json").ok().json
    assert (data["breaks"], data["intended"]) == ([], [])
