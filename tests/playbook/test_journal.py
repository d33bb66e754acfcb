"""Runs in both stores: the same run, from start to end, with a conflict on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.config import Config, StoreSettings
from soc.errors import ConflictError
from soc.playbook import journal, present
from soc.playbook.engine import Engine
from soc.playbook.runs import draft
from soc.playbook.state import KIND
from soc.playbook.subject import Subject
from soc.playbook.world import RealWorld
from soc.respond import audit, ids
from soc.store import open_store
from soc.store.contract import Store, Write
from tests.playbook.conftest import ending, web_event

STEPS = (
    """look:
  {type: query, query: 'source.ip:"{{ ip }}"', since: 1d, count: n, values: {paths: url.path}, next: act}""",
    """act:
  type: command
  run: [soc-action, list, add, watch, '{{ ip }}']
  undo: [soc-action, list, remove, watch, '{{ ip }}']
  reversible: true
  dry_run: would watch it
  next: ask
  on_failure: bad""",
    "ask: {type: decision, who: lead, ask: '{{ n }} times {{ paths }}?', choices: {'yes': good, 'no': bad}}",
)
VARIABLES = "ip: {type: ip, required: true}\nn: {type: integer}\npaths: {type: string, list: true}"
SUBJECT = Subject("alert", "A-7F3K", "T", first="2026-03-02T07:14:00.000000Z")


@pytest.fixture(params=["embedded", pytest.param("elastic", marks=pytest.mark.elastic)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    """Where the store is: a folder, or a space on the real node."""
    if request.param == "embedded":
        return StoreSettings(str(tmp_path / "store"))
    found: StoreSettings = request.getfixturevalue("elastic_settings")
    return found


@pytest.fixture
def store(settings: StoreSettings) -> Iterator[Store]:
    """An empty store."""
    with open_store(settings) as opened:
        opened.init()
        yield opened


def test_a_run_on_each_store(store: Store, settings: StoreSettings, tmp_path: Path) -> None:
    """A run searches, acts, waits, is found by prefix and filter, meets a conflict, ends, and is audited."""
    store.append([web_event(number) for number in range(3)])
    playbook = ending(*STEPS, variables=VARIABLES)
    config = Config(None, settings, state=tmp_path / "state")
    kept = journal.StoreJournal(store)
    engine = Engine(playbook, kept, RealWorld(store, config), approve=True)
    given = {"ip": "203.0.113.66"}
    run, _ = draft(playbook, SUBJECT, given, run_id=kept.draw_id(), user=kept.user, now=datetime.now(UTC))
    run = engine.advance(kept.save(run, "run.start"))
    assert (run.step, run.who, run.variables["n"]) == ("ask", "lead", 3)
    assert run.variables["paths"] == ["/upload/anh.php"]
    assert journal.get(store, run.id[:5]) == run
    assert [r["id"] for r in present.listed(store, status="waiting", playbook="t")] == [run.id]
    assert present.listed(store, status="ended") == []

    ended = engine.advance(engine.answer(run, "ask", "yes"))
    with pytest.raises(ConflictError) as caught:
        engine.answer(run, "ask", "no")
    assert "answered 'yes'" in caught.value.theirs
    assert ended.outcome == "good"
    described = present.described(playbook, ended)
    assert described["undo"] == ["soc-action list remove watch 203.0.113.66"]
    assert audit.verify(store).ok


def test_no_undo_for_what_was_so_already(store: Store, settings: StoreSettings, tmp_path: Path) -> None:
    """A run that found a value on the list does not offer to take it off: another put it there."""
    step = STEPS[1].replace("next: ask", "next: good\n  exit_codes: {3: 'unchanged: there already'}")
    playbook = ending(step, variables=VARIABLES)
    kept = journal.StoreJournal(store)
    world = RealWorld(store, Config(None, settings, state=tmp_path / "state"))
    engine = Engine(playbook, kept, world)
    undo = []
    for _ in range(2):
        run, _resolved = draft(
            playbook,
            SUBJECT,
            {"ip": "192.0.2.7"},
            run_id=kept.draw_id(),
            user=kept.user,
            now=datetime.now(UTC),
        )
        waiting = engine.advance(kept.save(run, "run.start"))
        ended = engine.advance(engine.answer(waiting, waiting.step, "yes"))
        undo.append(present.described(playbook, ended).get("undo"))
    assert undo == [["soc-action list remove watch 192.0.2.7"], None]


def test_ids(store: Store) -> None:
    """What is no run is said clearly; a run of a newer program is refused."""
    with pytest.raises(ids.NotFoundError):
        journal.get(store, "R-7F3K")
    store.write([Write(KIND, "R-7F3K", {"schema": 99}, 0)])
    with pytest.raises(Exception, match="another version"):
        journal.get(store, "R-7F3K")
