"""What this user saw last of a thing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from soc.cli import seen
from soc.config import cache_folder


def test_last_version_for_each_store() -> None:
    """Two stores may have alerts of one id."""
    seen.remember("alert", "/a", {"A-1": 1, "A-2": 0})
    seen.remember("alert", "/a", {"A-1": 2})
    seen.remember("alert", "/b", {"A-1": 9})
    assert seen.versions("alert", "/a", ["A-1", "A-2", "A-3"]) == {"A-1": 2, "A-2": 0}


def test_yesterday_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a shift, what was seen is forgotten."""
    seen.remember("alert", "/a", {"A-1": 1})
    later = time.time() + (seen.HOURS + 1) * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert seen.versions("alert", "/a", ["A-1"]) == {}


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"A-1": 3}', '{"A-1": [1]}', '{"A-1": ["x", "y"]}', "\x00"]
)
def test_broken_file_is_none(content: str) -> None:
    """Nothing raises; what is kept next is whole again."""
    seen.remember("alert", "/a", {"A-1": 1})
    (path,) = (cache_folder() / "seen").iterdir()
    path.write_text(content)
    assert seen.versions("alert", "/a", ["A-1"]) == {}
    seen.remember("alert", "/a", {"A-1": 4})
    assert seen.versions("alert", "/a", ["A-1"]) == {"A-1": 4}


def test_no_place_to_keep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache that cannot be written changes nothing else."""
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    seen.remember("alert", "/a", {"A-1": 1})
    assert seen.versions("alert", "/a", ["A-1"]) == {}
