"""Runs in words: what people read says what happened, and nothing in it can harm a terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from soc.playbook import present
from soc.playbook.runs import draft
from soc.playbook.state import Phase, Reason, Run
from soc.playbook.subject import Subject
from tests.playbook.conftest import ending

PLAYBOOK = ending(
    "look: {type: query, query: 'a:b', count: n, next: act}",
    "act: {type: command, run: [block, '{{ ip }}'], dry_run: w, reversible: true, "
    "undo: [unblock, '{{ ip }}'], next: tell, on_failure: bad}",
    "tell: {type: manual, title: Tell them, who: lead, instruction: 'Two\n\n      lines', next: good}",
    variables="ip: {type: ip, required: true}\nn: {type: integer}",
)
NOW = datetime(2026, 3, 2, 7, 14, 9, tzinfo=UTC)


def fresh() -> Run:
    """A run at its first step."""
    subject = Subject("alert", "A-7F3K", "A title")
    run, _ = draft(PLAYBOOK, subject, {"ip": "192.0.2.7"}, run_id="R-7F3K", user="an", now=NOW)
    return run


def entry(run: Run, step: str, event: str, **detail: object) -> Run:
    """The run with an entry at a step."""
    return replace(run, step=step).with_entry(event, NOW, "an", **detail)


def test_sentences() -> None:
    """Each kind of entry is a sentence with what matters in it."""
    run = fresh()
    for event, detail, words in (
        ("intent", {"attempt": 2, "command": ["block", "a b"]}, "running (attempt 2): block 'a b'"),
        ("intent", {"attempt": 1, "query": "a:b"}, "searching: a:b"),
        ("result", {"ok": True, "count": 3, "more": True, "variables": {"n": 3}}, "3 or more events; n=3"),
        ("result", {"ok": False, "detail": "exit 4", "stderr": "locked\n"}, "failed; exit 4; locked"),
        ("turn", {"reason": "manual"}, "waits for a person (manual)"),
        ("turn", {"reason": "confirm", "command": ["rm", "x"]}, "waits for a yes to: rm x"),
        (
            "answer",
            {"value": "yes", "note": "seen", "on_behalf_of": "binh"},
            "answered 'yes' on behalf of binh: seen",
        ),
        ("unknown", {"detail": "interrupted"}, "outcome unknown: interrupted"),
        ("resumed", {"detail": "again"}, "taken up again: again"),
        ("ended", {"outcome": "good"}, "ended as good"),
        ("something-new", {}, "something-new"),
    ):
        assert present.sentence(entry(run, "act", event, **detail).journal[-1]) == words
    assert present.sentence(run.journal[0]) == "started with ip=192.0.2.7"
    long = entry(run, "act", "result", ok=True, stdout="x" * 1000)
    assert len(present.sentence(long.journal[-1])) < 400


def test_waiting() -> None:
    """Whose turn it is, what to do in lines, and the commands with the options of this session."""
    run = replace(entry(fresh(), "tell", "turn"), phase=Phase.WAITING, reason=Reason.MANUAL, who="lead")
    described = present.described(PLAYBOOK, run, options=" --space drill")
    assert described["turn"]["who"] == "lead"
    text = present.as_text(described, whole=True)
    assert "R-7F3K  t on A-7F3K  waiting at tell" in text
    assert "It is the turn of: lead (Tell them)\n  Two\n  lines" in text
    assert "next: soc run answer R-7F3K tell done --space drill" in text
    assert present.row(run)["who"] == "lead"


def test_ready_and_busy() -> None:
    """A run between two steps is to be resumed; one at work says by whom and asks nothing."""
    assert present.described(PLAYBOOK, fresh())["next"] == ["soc run resume R-7F3K"]
    acting = replace(entry(fresh(), "act", "intent"), phase=Phase.ACTING)
    described = present.described(PLAYBOOK, acting, busy="process 7 on this machine")
    assert described["turn"] is None
    assert "being carried out by process 7" in present.as_text(described, whole=False)


def test_undo_in_reverse() -> None:
    """What succeeded and changed something can be undone, the last first; the rest is not named."""
    run = entry(fresh(), "look", "result", ok=True)
    run = entry(run, "act", "result", ok=False)
    assert list(present.undo_commands(PLAYBOOK, run)) == []
    assert list(present.undo_commands(PLAYBOOK, entry(run, "act", "result", ok=True, unchanged=True))) == []
    run = entry(run, "act", "result", ok=True)
    assert list(present.undo_commands(PLAYBOOK, run)) == ["unblock 192.0.2.7"]


def test_journal_rows() -> None:
    """Rows of the journal keep all details beside the sentence."""
    (row,) = present.journal_rows(fresh())
    assert row["at"] == "2026-03-02T07:14:09.000000Z"
    assert row["detail"]["variables"] == {"ip": "192.0.2.7"}


def test_playbook() -> None:
    """A playbook for people names variables, commands, queries and where each step leads."""
    text = present.playbook_text(PLAYBOOK)
    assert "ip (ip, required)" in text
    assert "runs: block '{{ ip }}'" in text
    assert "on_failure → bad" in text
    assert " *look (query)" in text
