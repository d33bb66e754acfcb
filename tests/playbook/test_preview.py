"""The dry run: every step that may come, with values, along the ways that are open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from soc.errors import UsageError
from soc.playbook.model import Playbook
from soc.playbook.preview import Planned, preview
from soc.playbook.runs import draft
from soc.playbook.subject import Subject
from tests.playbook.conftest import ending

VARIABLES = "ip: {type: ip}\nn: {type: integer}\ntext: {type: string}"
ACT = (
    "act: {type: command, run: [block, '{{ ip }}'], dry_run: 'would block {{ ip }}', "
    "read_only: true, next: good}"
)


def planned(playbook: Playbook, answers: dict[str, Any] | None = None, **given: str) -> dict[str, Planned]:
    """What a new run would do, by step."""
    run, _ = draft(
        playbook, Subject("alert", "A-1", "t"), given, run_id="R-1", user="u", now=datetime.now(UTC)
    )
    return {step.step: step for step in preview(playbook, run, answers or {})}


def test_both_ways_while_it_is_open() -> None:
    """A question and a condition on what is not known yet are followed both ways."""
    steps = planned(
        ending(
            "look: {type: query, query: 'source.ip:\"{{ ip }}\"', count: n, next: many}",
            "many: {type: decision, when: 'n:>3', then: ask, else: bad}",
            "ask: {type: decision, ask: Sure?, choices: {'yes': act, 'no': bad}}",
            ACT.replace("next: good", "next: good, on_failure: bad"),
            variables=VARIABLES.replace("{type: ip}", "{type: ip, required: true}"),
        ),
        ip="192.0.2.7",
    )
    assert list(steps) == ["look", "many", "ask", "act", "good", "bad"]
    assert steps["act"].text == "block 192.0.2.7"
    assert steps["act"].effect == "would block 192.0.2.7"
    assert steps["look"].text == "source.ip:192.0.2.7"
    assert steps["act"].then == "next: good, on_failure: bad"


def test_known_conditions_and_answers_narrow_it() -> None:
    """A condition over known values and a prepared answer leave one way."""
    playbook = ending(
        "known: {type: decision, when: 'ip:192.0.2.0/24', then: kind, else: bad}",
        "kind: {type: decision, switch: text, cases: {a: ask}, default: bad}",
        "ask: {type: decision, ask: Sure?, choices: {'yes': good, 'no': bad}}",
        variables=VARIABLES,
    )
    given = {"ip": "192.0.2.7", "text": "a"}
    assert list(planned(playbook, {"ask": "yes"}, **given)) == ["known", "kind", "ask", "good"]
    assert list(planned(playbook, {"ask": "yes"}, ip="203.0.113.1", text="a")) == ["known", "bad"]


def test_what_is_not_known_stays_a_variable() -> None:
    """An argument without a value is shown by its name, and where it will come from is said."""
    playbook = ending(
        "ask: {type: manual, instruction: x, answers: {ip: which}, next: act}", ACT, variables=VARIABLES
    )
    act = planned(playbook)["act"]
    assert act.text == "block '<ip>'"
    assert act.effect == "would block <ip>"
    assert act.unknown == ("ip (from ask)",)


def test_refused_arguments_are_shown() -> None:
    """An argument that would be refused is shown as refused."""
    playbook = ending(
        "act: {type: command, run: [x, '{{ text }}'], dry_run: w, read_only: true, next: good}",
        variables=VARIABLES.replace("text: {type: string}", "text: {type: string, required: true}"),
    )
    assert planned(playbook, text="--all")["act"].text.startswith("refused: ")


def test_prepared_answers_must_fit() -> None:
    """A prepared answer that does not fit is an error in the dry run already."""
    with pytest.raises(UsageError, match="'perhaps'"):
        planned(
            ending("ask: {type: decision, ask: q, choices: {'yes': good, 'no': bad}}"), {"ask": "perhaps"}
        )
