"""Reading: what is written is what is meant."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from soc import yamlio
from soc.playbook.lint import lint_text
from soc.playbook.model import Command, Decision, Meaning, Query
from soc.playbook.reader import read_text
from tests.playbook.conftest import PATIENT

TEXT = """\
name: t
title: T
variables:
  port: {type: integer, default: 22}
  code: {type: string, default: '012'}
  hosts: {type: host, list: true, default: [a, b]}
steps:
  look: {type: query, query: 'a:b', since: 1h30m, until: 0s, limit: 5, next: act}
  act:
    type: command
    run: [x, '5', no]
    dry_run: w
    timeout: 7
    exit_codes: {0: done, 3: 'unchanged: it was so', 4: 'failed: locked'}
    next: ask
  ask: {type: decision, ask: q, choices: {no: end, true: end, 3: end}}
  end: {type: end, outcome: ok}
"""


def test_values() -> None:
    """Strings stay strings (`no`, `012`), keys are words, times and codes have their meaning."""
    playbook, problems = read_text(TEXT, "t.yml")
    assert problems == []
    assert playbook is not None
    assert playbook.start == "look"
    assert {n: v.default for n, v in playbook.variables.items()} == {
        "port": 22,
        "code": "012",
        "hosts": ["a", "b"],
    }
    look, act, ask = playbook.steps["look"], playbook.steps["act"], playbook.steps["ask"]
    assert isinstance(look, Query)
    assert (look.since, look.until, look.limit) == (timedelta(minutes=90), timedelta(0), 5)
    assert isinstance(act, Command)
    assert act.run == ("x", "5", "no")
    assert act.exit_codes == {
        0: Meaning(True),
        3: Meaning(True, "it was so", unchanged=True),
        4: Meaning(False, "locked"),
    }
    assert isinstance(ask, Decision)
    assert list(ask.choices) == ["no", "true", "3"]


def test_version() -> None:
    """The version changes with any change of the text, and only then."""
    first, again = read_text(TEXT, "a.yml")[0], read_text(TEXT, "b.yml")[0]
    other = read_text(TEXT + "# a remark\n", "a.yml")[0]
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.version == again.version != other.version
    assert len(first.version) == 12


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
_KEYS = st.sampled_from(
    ["name", "title", "steps", "type", "next", "run", "when", "choices", "variables", "tests", "from", "a"]
)
_TYPES = st.sampled_from(["manual", "command", "query", "decision", "end", "integer", "{{ a }}", "a:("])
_ANY = st.recursive(
    _SCALARS | _TYPES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=30,
)


@settings(PATIENT, max_examples=60)
@given(st.dictionaries(_KEYS, _ANY, max_size=8), st.dictionaries(_KEYS, _ANY, max_size=5))
def test_any_document_gives_findings_not_exceptions(
    document: dict[str, object], step: dict[str, object]
) -> None:
    """Whatever shape a document has, reading and linting it ends in findings."""
    document["steps"] = {"one": step, "two": {**step, "type": "command"}, "three": {**step, "type": "query"}}
    _, problems = lint_text(yamlio.dump(document), "any.yml")
    assert all(problem.kind and problem.message for problem in problems)
