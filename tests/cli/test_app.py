"""The grammar of the command line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from soc import __version__
from soc.cli import reference
from soc.cli.app import NOUNS, load, reflow, singular
from tests.harness import soc

VERBS = {
    "config": {"show", "check"},
    "store": {"init", "status", "prune", "roles", "upgrade"},
    "audit": {"list", "verify", "anchor", "export"},
    "register": {"import", "list", "show", "check"},
    "collector": {"list", "show", "new", "lint", "test", "try"},
    "collect": {"run", "ledger", "rewind"},
    "deadletter": {"list", "show", "fix", "replay", "drop"},
    "sweep": {"run", "status", "ledger", "backfill"},
    "rule": {
        "list",
        "show",
        "new",
        "lint",
        "test",
        "import",
        "backtest",
        "explain",
        "coverage",
        "health",
        "diff",
        "check",
        "publish",
        "rollback",
    },
    "alert": {"list", "show", "next", "ack", "assign", "note", "close", "reopen", "snooze", "merge"},
    "exception": {"add", "list", "show", "extend", "end"},
    "indicator": {"list", "show", "add", "import", "hunt", "expire"},
    "playbook": {"list", "show", "new", "lint", "test", "run", "import", "export", "print"},
    "run": {
        "list",
        "show",
        "watch",
        "resume",
        "do",
        "answer",
        "approve",
        "reject",
        "assign",
        "cancel",
        "log",
    },
}
"""The tree that the command line may have; a verb outside it is a mistake, or a decision to write down."""

CONTENT = ("collector", "rule", "playbook")


@pytest.mark.parametrize("name", NOUNS)
def test_every_verb_is_in_the_tree_and_explains_itself(name: str) -> None:
    """A noun has only verbs of the tree; each has help with an example that starts with its own name."""
    found = reference.verbs(name)
    assert set(found) <= VERBS.get(name, set())
    command = load(name)
    for verb, inner in getattr(command, "commands", {"": command}).items():
        assert re.search(rf"soc {name}\b.*{re.escape(verb)}", inner.help or ""), (
            f"soc {name} {verb}: no example"
        )


@pytest.mark.parametrize("name", CONTENT)
def test_each_kind_of_content_has_the_five_verbs(name: str) -> None:
    """list, show, new, lint and test."""
    assert {"list", "show", "new", "lint", "test"} <= set(reference.verbs(name))


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_the_reference_is_what_the_code_says(name: str, pytestconfig: pytest.Config) -> None:
    """`make docs` was run after the last change of a command."""
    written = pytestconfig.rootpath / "docs" / "reference" / name
    assert written.read_text(encoding="utf-8") == reference.pages()[name], "run: make docs"


def test_help_is_reflowed_and_examples_keep_their_lines() -> None:
    """A paragraph is one line, whatever the docstring's width; lists and examples stay as they are."""
    text = """First
    line.

    A paragraph that is
    wrapped in the code, with
    --an-option at a line's beginning.

    - one
    - two

    Examples:

    soc alert list

      soc alert show A-7F3K
    """
    assert reflow(text).split("\n\n") == [
        "First line.",
        "A paragraph that is wrapped in the code, with --an-option at a line's beginning.",
        "- one\n- two",
        "Examples:",
        "  soc alert list",
        "  soc alert show A-7F3K",
    ]


@pytest.mark.parametrize("name", NOUNS)
def test_help_is_never_ragged_at_80_columns(name: str) -> None:
    """A line of prose that ends early ends its paragraph; every example is indented."""
    command = load(name)
    for verb, inner in getattr(command, "commands", {"": command}).items():
        prose, marker, examples = (inner.help or "").partition("Examples:")
        assert marker, f"soc {name} {verb}"
        assert all("\n" not in part.strip() for part in prose.split("\n\n") if not part.startswith("- "))
        lines = [line for line in examples.splitlines() if line]
        assert all(re.match(r"  \S", line) for line in lines), f"soc {name} {verb}"


def test_the_default_verb_is_said_in_the_help() -> None:
    """`soc sweep --help` tells that `soc sweep --once` works."""
    assert "soc sweep --once" in " ".join(soc("sweep", "--help").ok().out.split())


def test_plurals_mean_the_singular() -> None:
    """`soc alerts` is `soc alert`; a word that ends in s is not shortened when it is a noun."""
    assert (singular("alerts"), singular("status"), singular("playbooks")) == ("alert", "status", "playbook")


def test_a_plural_alone_lists() -> None:
    """`soc collectors` and `soc collectors list` do the same."""
    alone = soc("collectors", "--output", "json").ok().json
    assert alone
    assert soc("collectors", "list", "--output", "json").ok().json == alone
    assert soc("--output", "json", "collector", "list").ok().json == alone


def test_common_options_stand_anywhere() -> None:
    """Before the noun, after it, and after the verb."""
    for args in (
        ["--store", "/x", "config", "show"],
        ["config", "--store", "/x", "show"],
        ["config", "show", "--store", "/x"],
    ):
        rows = soc(*args, "--output", "json").ok().json
        assert {"setting": "store", "value": "/x"} in rows


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["alrt"], "Did you mean 'alert'"),
        (["alert", "lst"], "no such command 'lst'"),
        (["alert", "list", "--nope"], "no such option"),
        (["config", "show", "--output", "xml"], "one of table, json, jsonl, csv"),
        (["config", "show", "--config", "/nonexistent/soc.yml"], "no such configuration file"),
    ],
)
def test_wrong_usage_is_exit_2(args: list[str], said: str) -> None:
    """One clear line, and nothing done."""
    assert said in soc(*args).failed(2).err


def test_version_and_bare_program() -> None:
    """`soc --version` prints it; `soc` alone shows the help."""
    assert soc("--version").ok().out == f"soc {__version__}\n"
    assert "Start with" in soc().out


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """`soc … | head -1` ends quietly."""
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m soc collector list --output jsonl | head -1"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize(
    ("args", "said", "next_"),
    [
        (["alert", "list", "--nope"], "no such option: --nope", "soc alert list --help"),
        (["alert", "show"], "missing argument", "soc alert show --help"),
        (["alret"], "Did you mean 'alert'", "soc --help"),
        (["alert", "list", "--limit", "x"], "invalid value for '--limit'", "soc alert list --help"),
    ],
)
def test_wrong_usage_is_said_as_every_error(args: list[str], said: str, next_: str) -> None:
    """`error:` and `next:`, whoever found it."""
    lines = soc(*args).failed(2).err.splitlines()
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert lines[-1] == f"next: {next_}"


def test_a_noun_alone_shows_its_verbs() -> None:
    """Help, not an error."""
    shown = soc("alert").failed(2)
    assert "ack" in shown.out + shown.err
    assert "error:" not in shown.err
