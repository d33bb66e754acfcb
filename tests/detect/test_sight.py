"""Which rules could see anything in the data that is here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from soc.detect import sight
from soc.detect.predicate import EVERYTHING, And, Not, Op, Or, Predicate, Test
from soc.detect.rule import Rule
from soc.detect.sight import Sight, could
from soc.event import Event
from soc.store.contract import Store
from tests.detect.world import SOURCE, event, open_at, rule

COMMAND = Test("process.command_line", Op.CONTAINS, "x")
SYSMON = And(
    (
        Test("winlog.channel", Op.EQUALS, "Microsoft-Windows-Sysmon/Operational"),
        Test("event.code", Op.EQUALS, 1),
    )
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_at(tmp_path / "store") as opened:
        yield opened


def windows(channel: str, code: Any, **fields: Any) -> Event:
    """A Windows event."""
    made = event(event__dataset="windows.log", winlog__channel=channel, event__code=code, **fields)
    return {**made, **fields}


def blind(store: Store, events: list[Event], *rules: Rule) -> dict[str, str]:
    """What is blind after these events, each seen often enough."""
    seen = Sight(store)
    for one in events:
        for _ in range(sight.ENOUGH):
            seen.note(one)
    return seen.blind(rules)


def reads_command(source: Predicate) -> Rule:
    """A rule on command lines in a log source."""
    return rule("r", source=source, predicate=And((source, COMMAND)), fields=("process.command_line",))


def test_field_that_is_never_there(store: Store) -> None:
    """The field and the dataset are named."""
    found = blind(store, [event()], reads_command(SOURCE), rule("sees"))
    assert found == {"r": "process.command_line never filled in nginx.access"}


def test_field_that_is_sometimes_there(store: Store) -> None:
    """One event with it is enough."""
    some = {**event(), "process.command_line": "x"}
    assert blind(store, [event(), some], reads_command(SOURCE)) == {}


def test_source_that_is_not_here_is_not_blindness(store: Store) -> None:
    """A rule for another source is not called blind in this one."""
    assert blind(store, [event()], reads_command(SYSMON)) == {}
    assert blind(store, [windows("System", "7045")], reads_command(SYSMON)) == {}


@pytest.mark.parametrize("code", ["1", 1])
def test_windows_channels_and_ids_are_streams(store: Store, code: Any) -> None:
    """A Sysmon that logs no command lines is noticed, whatever other events of Windows have."""
    other = {**windows("Security", "4688"), "process.command_line": "x"}
    sysmon = windows("Microsoft-Windows-Sysmon/Operational", code)
    assert list(blind(store, [other, sysmon], reads_command(SYSMON))) == ["r"]


def test_few_events_say_nothing(store: Store) -> None:
    """An optional field may be missing by chance."""
    seen = Sight(store)
    for _ in range(sight.ENOUGH - 1):
        seen.note(event())
    assert seen.blind([reads_command(SOURCE)]) == {}


def test_two_sweepers_add_to_each_other(store: Store) -> None:
    """What one saw is not lost when the other saves."""
    one, two = Sight(store), Sight(store)
    for _ in range(sight.ENOUGH):
        one.note(event())
        two.note({**event(), "process.command_line": "x"})
    one.save()
    two.save()
    third = Sight(store)
    third.load()
    assert third.blind([reads_command(SOURCE)]) == {}
    before = [(d.id, d.version) for d in store.find(sight.KIND)]
    third.note(event())
    third.save()
    assert [(d.id, d.version) for d in store.find(sight.KIND)] == before, "nothing new, nothing written"


@pytest.mark.parametrize("odd", [["a", "b"], {"x": 1}, 7, True, "x" * 3000, "\x00|"])
def test_odd_names_do_not_raise(store: Store, odd: Any) -> None:
    """A dataset or channel may be anything."""
    seen = Sight(store)
    seen.note({**event(), "event.dataset": odd, "winlog.channel": odd, "event.code": odd})
    seen.save()


def test_invented_streams_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes logs cannot fill the store with names."""
    monkeypatch.setattr(sight, "MAX_STREAMS", 10)
    monkeypatch.setattr(sight, "MAX_FIELDS", 50)
    seen = Sight(store)
    for i in range(100):
        seen.note({**event(), "event.dataset": f"d{i}", **{f"f{i}.{j}": 1 for j in range(100)}})
    seen.save()
    found = list(store.find(sight.KIND))
    assert len(found) == 10
    assert all(len(d.body["fields"]) <= 50 for d in found)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (EVERYTHING, True),
        (Or(()), False),
        (Test("b", Op.EXISTS), False),
        (Test("b", Op.NULL), True),
        (Not(Test("b", Op.EXISTS)), True),
        (Not(Test("b", Op.EQUALS, 1)), True),
        (Test(None, Op.CONTAINS, "x"), True),
        (Test("a", Op.FIELDREF, "b"), False),
        (Test("a", Op.FIELDREF, "a"), True),
        (Test("event.dataset", Op.EQUALS, "D"), True),
        (Test("event.dataset", Op.EQUALS, "e"), False),
        (Not(Test("event.dataset", Op.EQUALS, "d")), False),
        (Not(And((Test("event.dataset", Op.EQUALS, "d"), Test("a", Op.EQUALS, 1)))), True),
        (Not(Or((Test("event.dataset", Op.EQUALS, "d"), Test("a", Op.EQUALS, 1)))), False),
        (Not(Not(Test("event.dataset", Op.EQUALS, "e"))), False),
    ],
)
def test_could(predicate: Predicate, expected: bool) -> None:
    """An upper bound on what an event of dataset d with the fields a and event.dataset could satisfy."""
    assert could(predicate, {"event.dataset": "d"}, {"a", "event.dataset"}) is expected
