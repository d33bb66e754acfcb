"""Completion from a small file: quick, and silent whatever is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from soc.cli import completion
from soc.cli.session import begin
from soc.config import StoreSettings, cache_folder

NOWHERE = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))
"""A command line without options."""


@pytest.fixture(autouse=True)
def _session() -> None:
    """Settings are read anew, as in a process of its own."""
    begin()


def test_remembers_the_latest_first() -> None:
    """A new listing goes in front, earlier ids stay behind."""
    completion.remember("alert", [("A-1AAA", "high x"), ("A-2BBB", "low y")])
    completion.remember("alert", [("A-3CCC", "new"), ("A-1AAA", "high closed x")])
    assert completion.recent("alert") == [
        ("A-3CCC", "new"),
        ("A-1AAA", "high closed x"),
        ("A-2BBB", "low y"),
    ]


def test_completes_with_or_without_the_letter() -> None:
    """In any case of letters."""
    completion.remember("alert", [("A-7F3K", "x"), ("A-7G00", "y"), ("A-Q2M0", "z")])
    complete = completion.ids_of("alert")
    assert [i for i, _ in complete(NOWHERE, "a-7")] == ["A-7F3K", "A-7G00"]
    assert [i for i, _ in complete(NOWHERE, "q")] == ["A-Q2M0"]
    assert complete(NOWHERE, "zz") == []


def test_each_store_and_space_has_its_own() -> None:
    """What another store holds is never offered."""
    one, drill = StoreSettings("/a"), StoreSettings("/a", space="drill")
    completion.remember("alert", [("A-1AAA", "x")], one)
    completion.remember("alert", [("A-2BBB", "y")], drill)
    assert [i for i, _ in completion.recent("alert", one)] == ["A-1AAA"]
    assert [i for i, _ in completion.recent("alert", drill)] == ["A-2BBB"]
    assert completion.recent("alert", StoreSettings("/b")) == []


def test_bounds() -> None:
    """However much is listed, the file stays small, and a title stays on its line."""
    completion.remember("alert", [(f"A-{i:04}", "t\n\x1b[31m" * 500) for i in range(3000)])
    found = completion.recent("alert")
    assert len(found) == completion.KEPT
    assert all(len(words) <= completion.MAX_WORDS and words.isprintable() for _, words in found)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\n\n\t\n", b"x" * 3_000_000])
def test_broken_file_offers_nothing_bad(content: bytes) -> None:
    """Binary, empty or huge: no exception."""
    completion.remember("alert", [("A-0", "x")])
    (path,) = (cache_folder() / "completion").iterdir()
    path.write_bytes(content)
    completion.ids_of("alert")(NOWHERE, "A")
    completion.remember("alert", [("A-1", "x")])
    assert completion.recent("alert")[0] == ("A-1", "x")


def test_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache that is a file: nothing is kept, nothing raises."""
    blocked = tmp_path / "cache"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    completion.remember("alert", [("A-1", "x")])
    assert completion.recent("alert") == []


def test_words() -> None:
    """A fixed choice."""
    assert completion.words("open", "closed", "all")("o") == ["open"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("soc alert show --store /elsewhere --space drill A-", "A-9DRL"),
        ("soc rule show web_log4", "web_log4shell"),
        ("soc collector show ipt", "iptables"),
        ("soc parse ipt", "iptables"),
        ("soc alert list --output jsonl", "jsonl"),
        ("soc alert show A-7", "A-7F3K"),
        ("soc alert close A-7F3K --reason fal", "false-positive"),
        ("soc alert list --status ack", "acknowledged"),
    ],
)
def test_in_a_shell(typed: str, expected: str) -> None:
    """As bash asks for it, in well under a second."""
    completion.remember("alert", [("A-7F3K", "high open x")])
    completion.remember("alert", [("A-9DRL", "x")], StoreSettings("/elsewhere", space="drill"))
    words = typed.split()
    env = {
        **os.environ,
        "_SOC_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    began = time.monotonic()
    program = Path(sys.executable).with_name("soc")
    done = subprocess.run([program], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [expected], done.stderr
    assert time.monotonic() - began < 3
