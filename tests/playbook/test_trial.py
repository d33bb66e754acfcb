"""The tests of a playbook's file: what they find."""

from __future__ import annotations

import pytest

from soc.playbook.trial import perform, perform_all
from tests.playbook.conftest import playbook

TEXT = """\
name: t
title: T
variables:
  ip: {type: ip, from: event.source.ip, required: true}
  n: {type: integer}
steps:
  look: {type: query, query: 'source.ip:"{{ ip }}"', since: 1h, until: 1h, count: n, next: many}
  many: {type: decision, when: 'n:>1', then: act, else: ask}
  ask: {type: decision, ask: q, choices: {a: act, b: idle}}
  act: {type: command, run: [x, '{{ ip }}'], dry_run: w, next: done, on_failure: idle}
  done: {type: end, outcome: done}
  idle: {type: end, outcome: idle}
tests:
"""
EVENT = "{'@timestamp': '2026-01-01T00:30:00Z', source.ip: 192.0.2.7}"
ALERT = (
    "alert: {alert: {first: '2026-01-01T00:00:00Z', last: '2026-01-01T00:00:00Z'}, "
    "event: {source.ip: 192.0.2.7}}"
)


def faults(trial: str) -> str:
    """What one test finds wrong, joined."""
    found = playbook(TEXT + f"  - {{name: one, {trial}}}\n")
    return "; ".join(perform(found, found.tests[0]).faults)


def test_passes() -> None:
    """Events, answers and stubbed commands lead along the expected path."""
    assert faults(f"{ALERT}, events: [{EVENT}, {EVENT}], outcome: done, path: [look, many, act, done]") == ""
    assert faults(f"{ALERT}, answers: {{ask: b}}, outcome: idle") == ""
    assert faults(f"{ALERT}, answers: {{ask: a}}, commands: {{act: {{exit: 1}}}}, outcome: idle") == ""


def test_the_window_counts() -> None:
    """Events outside of the time that the query covers are not found."""
    late = EVENT.replace("2026-01-01T00:30", "2026-01-01T01:00")
    early = EVENT.replace("2026-01-01T00:30", "2025-12-31T22:59")
    assert "stopped at ask" in faults(f"{ALERT}, events: [{EVENT}, {late}, {early}], outcome: done")


@pytest.mark.parametrize(
    ("trial", "fault"),
    [
        (f"{ALERT}, outcome: idle", "stopped at ask, which waits for an answer"),
        (f"{ALERT}, answers: {{ask: b}}, outcome: done", "outcome was 'idle', expected 'done'"),
        (f"{ALERT}, answers: {{ask: b}}, path: [look, done], outcome: idle", "look → many → ask → idle"),
        (f"{ALERT}, answers: {{ask: c}}, outcome: idle", "one of a, b is expected"),
        (f"{ALERT}, answers: {{ask: b}}, commands: {{act: {{exit: 1}}}}, outcome: idle", "never run"),
        (f"{ALERT}, events: [{EVENT}, {EVENT}], answers: {{ask: b}}, outcome: done", "never asked"),
        ("outcome: idle", "ip is needed"),
        ("variables: {ip: x}, outcome: idle", "not an IP address"),
    ],
)
def test_finds(trial: str, fault: str) -> None:
    """A test that does not come out as it says has a fault that says how."""
    assert fault in faults(trial)


def test_coverage() -> None:
    """Steps that no test comes through are named."""
    found = playbook(TEXT + f"  - {{name: one, {ALERT}, answers: {{ask: b}}, outcome: idle}}\n")
    results, unseen = perform_all(found)
    assert [result.passed for result in results] == [True]
    assert unseen == ["act", "done"]
