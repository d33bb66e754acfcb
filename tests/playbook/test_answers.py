"""Answers of people: what fits, in the words of a command line or a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.errors import ContentError, UsageError
from soc.playbook.answers import Answered, from_words, in_words, load_answers, turn_of, understand
from soc.playbook.model import Playbook
from soc.playbook.runs import draft
from soc.playbook.state import Phase, Reason, Run
from soc.playbook.subject import Subject
from tests.playbook.conftest import ending

PLAYBOOK = ending(
    "tell: {type: manual, who: lead, instruction: 'Tell {{ nobody }}', next: ask}",
    "ask: {type: decision, ask: Sure?, choices: {'Yes please': act, 'no': bad}}",
    "act: {type: command, run: [x, a b], dry_run: w, next: two, on_failure: bad}",
    "two: {type: manual, instruction: x, answers: {ip: Which address, many: Which numbers}, next: good}",
    variables="ip: {type: ip}\nmany: {type: integer, list: true}\nnobody: {type: string}",
)


def at(step: str, reason: Reason, playbook: Playbook = PLAYBOOK) -> Run:
    """A run that waits at a step."""
    run, _ = draft(playbook, Subject("alert", "A-1", "t"), {}, run_id="R-1", user="u", now=datetime.now(UTC))
    return replace(run, step=step, phase=Phase.WAITING, reason=reason)


def meaning(step: str, reason: Reason, value: object) -> Answered:
    """What an answer to a step means."""
    return understand(PLAYBOOK.steps[step], at(step, reason), value, PLAYBOOK)


def test_words() -> None:
    """Choices are taken in any case; YAML's true is yes; done leads on, failed to on_failure."""
    assert meaning("tell", Reason.MANUAL, "Done").target == "ask"
    assert meaning("ask", Reason.QUESTION, "yes PLEASE").target == "act"
    assert meaning("ask", Reason.QUESTION, False).target == "bad"
    assert meaning("act", Reason.CONFIRM, True).confirmed
    assert meaning("act", Reason.CONFIRM, "NO").failed
    assert meaning("act", Reason.UNKNOWN, "done").target == "two"
    assert meaning("act", Reason.UNKNOWN, "again").again
    assert meaning("act", Reason.FAILED, "failed").failed


@pytest.mark.parametrize(
    ("step", "reason", "value"),
    [
        ("tell", Reason.MANUAL, "maybe"),
        ("tell", Reason.MANUAL, {"a": 1}),
        ("ask", Reason.QUESTION, "y"),
        ("ask", Reason.QUESTION, None),
        ("act", Reason.CONFIRM, "ok"),
        ("act", Reason.UNKNOWN, "yes"),
        ("act", Reason.FAILED, ""),
        ("two", Reason.MANUAL, "192.0.2.1"),
        ("two", Reason.MANUAL, {"ip": "192.0.2.1", "many": "1,x"}),
    ],
)
def test_what_does_not_fit(step: str, reason: Reason, value: object) -> None:
    """An answer that does not fit names the step and what would fit."""
    with pytest.raises(UsageError, match=step):
        meaning(step, reason, value)


def test_values() -> None:
    """Several values come as name=value; a list by commas or as a YAML list; failed stays a word."""
    step = PLAYBOOK.steps["two"]
    given = from_words(step, ["ip=192.0.2.1", "many=3,4"])
    assert meaning("two", Reason.MANUAL, given).variables == {"ip": "192.0.2.1", "many": [3, 4]}
    assert meaning("two", Reason.MANUAL, {"ip": "192.0.2.1", "many": [3, "4"]}).variables["many"] == [3, 4]
    assert from_words(step, ["failed"]) == "failed"
    assert from_words(PLAYBOOK.steps["ask"], ["yes", "please"]) == "yes please"
    assert in_words(given) == "ip=192.0.2.1 many=3,4"


def test_turns() -> None:
    """A turn names who, what, and commands that can be pasted as they are."""
    turn = turn_of(PLAYBOOK, at("tell", Reason.MANUAL), options=" --store x")
    assert turn is not None
    assert (turn.who, turn.text) == ("lead", "Tell (not known)")
    assert turn.commands[0] == "soc run answer R-1 tell done --store x"
    turn = turn_of(PLAYBOOK, at("ask", Reason.QUESTION))
    assert turn is not None
    assert turn.commands[0] == "soc run answer R-1 ask 'Yes please'"
    turn = turn_of(PLAYBOOK, at("act", Reason.CONFIRM))
    assert turn is not None
    assert turn.dangerous
    assert "x 'a b'" in turn.text
    assert turn_of(PLAYBOOK, replace(at("act", Reason.CONFIRM), phase=Phase.READY)) is None


def test_file(tmp_path: Path) -> None:
    """A file maps steps to answers; a step that is not there is named with its place."""
    path = tmp_path / "answers.yml"
    path.write_text("tell: done\ntwo: {ip: 192.0.2.1, many: [1]}\n")
    assert load_answers(path, PLAYBOOK) == {"tell": "done", "two": {"ip": "192.0.2.1", "many": [1]}}
    path.write_text("tell: done\ntold: done\n")
    with pytest.raises(ContentError, match="told") as caught:
        load_answers(path, PLAYBOOK)
    assert str(caught.value.problems[0].place) == f"{path}:2:1"
