"""Triage: who may change what, that nothing is lost between two analysts, and that all of it is on record."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from soc.detect.sweep import Start, sweep
from soc.errors import ConflictError, UsageError
from soc.query import QueryError
from soc.respond import alerts, audit
from soc.respond.ids import AmbiguousError, NotFoundError
from soc.store.contract import Store
from tests.detect.world import START, append, event, open_at, rule

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with alerts: one critical, three high on three hosts, one low."""
    with open_at(tmp_path / "store") as opened:
        append(opened, {f"e{i}": event(i, host=f"web0{i % 3}", user__name="an") for i in range(9)})
        rules = [
            rule("high", attributes={"soc.playbooks": ["web-shell"]}, tags=("attack.t1505.003",)),
            rule("low", level="low", attributes={"soc.group_by": ["source.ip"]}),
            rule("worst", level="critical", attributes={"soc.group_by": ["user.name"]}),
        ]
        sweep(opened, rules, start=Start())
        yield opened


def ids(found: list[alerts.AlertView]) -> list[str]:
    """Levels and entities, to compare."""
    return [f"{view.level} {view.body['entity']}" for view in found]


def do(store: Store, id_: str, change: alerts.Change, **options: Any) -> alerts.Changed:
    """One change to one alert."""
    (done,) = alerts.apply(store, [id_], change, **options)
    return done


def one(store: Store) -> str:
    """The id of some alert."""
    return alerts.list_alerts(store)[0].id


class TestList:
    def test_most_severe_then_oldest_first(self, store: Store) -> None:
        """The order in which to work."""
        found = ids(alerts.list_alerts(store))
        assert found == ["critical an", "high web00", "high web01", "high web02", "low 192.0.2.7"]
        assert ids(alerts.list_alerts(store, limit=1)) == found[:1]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("level:high and status:open and host.name:web01", ["high web01"]),
            ("host.name:web0* level:high", ["high web00", "high web01", "high web02"]),
            ("count:>4", ["critical an", "low 192.0.2.7"]),
            ("source.ip:192.0.2.0/24 and not level:high", ["critical an", "low 192.0.2.7"]),
            ("playbooks:web-shell entity:web02", ["high web02"]),
            ("tags:attack.t1505* entity:web00", ["high web00"]),
            ("level:medium", []),
        ],
    )
    def test_query_language(self, store: Store, query: str, expected: list[str]) -> None:
        """Filters speak the language of searches, over the names of a row."""
        assert ids(alerts.list_alerts(store, alerts.wanted(query))) == expected

    def test_closed_ones_are_left_out_unless_asked_for(self, store: Store) -> None:
        """By option or by query."""
        assert do(store, one(store), alerts.close("benign")).ok
        assert len(alerts.list_alerts(store, alerts.wanted())) == 4
        assert len(alerts.list_alerts(store, alerts.wanted(status="all"))) == 5
        assert len(alerts.list_alerts(store, alerts.wanted(status="closed"))) == 1
        assert len(alerts.list_alerts(store, alerts.wanted("status:closed"))) == 1

    def test_options(self, store: Store) -> None:
        """Level, owner, rule and time."""
        first = one(store)
        do(store, first, alerts.assign("huong"))
        assert [v.id for v in alerts.list_alerts(store, alerts.wanted(owner="huong"))] == [first]
        assert len(alerts.list_alerts(store, alerts.wanted(owner="none"))) == 4
        assert len(alerts.list_alerts(store, alerts.wanted(level="low,critical"))) == 2
        assert len(alerts.list_alerts(store, alerts.wanted(rule="rule hi"))) == 3
        assert len(alerts.list_alerts(store, alerts.wanted(rule="worst"))) == 1
        assert alerts.list_alerts(store, alerts.wanted(since=START + timedelta(hours=1))) == []

    @pytest.mark.parametrize(("status", "level"), [("opne", ""), ("", "hihg"), ("", "high,xx")])
    def test_wrong_filters_are_usage_errors(self, status: str, level: str) -> None:
        """A misspelt word finds not nothing, but an error."""
        with pytest.raises(UsageError, match="is expected"):
            alerts.wanted(status=status, level=level)

    def test_wrong_query(self) -> None:
        """Its own error, with a column."""
        with pytest.raises(QueryError):
            alerts.wanted("level:(high")

    def test_every_row_has_the_same_names(self, store: Store) -> None:
        """So that a table of fields can be asked for."""
        names = {tuple(view.row) for view in alerts.list_alerts(store)}
        assert names == {alerts.FIELDS}

    def test_a_field_that_no_alert_has(self) -> None:
        """With the one that is meant, at its column; fields of events are taken: rules group by them."""
        with pytest.raises(QueryError, match="did you mean level") as caught:
            alerts.wanted("status:open levl:high")
        assert caught.value.column == 13
        alerts.wanted("destination.geo.name:x")


class TestGet:
    def test_by_prefix_and_unknown(self, store: Store) -> None:
        """Any unique beginning; an unknown or ambiguous one says so."""
        id_ = one(store)
        assert alerts.get(store, id_.lower()).id == id_
        assert alerts.get(store, id_[2:5]).id == id_
        with pytest.raises(NotFoundError):
            alerts.get(store, "A-0000000")
        with pytest.raises(UsageError):
            alerts.get(store, "../../etc")

    def test_ambiguous(self, store: Store) -> None:
        """Candidates are listed."""
        document = store.read("alert", one(store))
        assert document is not None
        for id_ in ("A-ZZ01", "A-ZZ02"):
            store.put("alert", id_, {**document.body, "id": id_}, expect=0)
        with pytest.raises(AmbiguousError) as caught:
            alerts.get(store, "zz")
        assert caught.value.candidates == ["A-ZZ01", "A-ZZ02"]

    def test_events_by_time(self, store: Store) -> None:
        """The events that an alert carries."""
        view = next(v for v in alerts.list_alerts(store) if v.level == "low")
        assert [e.id for e in alerts.events_of(store, view)] == [f"e{i}" for i in range(9)]


class TestChange:
    def test_the_way_of_an_alert(self, store: Store) -> None:
        """Acknowledged, noted, closed, reopened: each step has a version and a line of history."""
        id_, me = one(store), store.whoami()
        assert alerts.get(store, id_).version == 0
        do(store, id_, alerts.ack(me))
        do(store, id_, alerts.note("Đã gọi điện cho chủ máy"))
        do(store, id_, alerts.close("false-positive", "a backup job"))
        view = alerts.get(store, id_)
        assert (view.status, view.owner, view.version) == ("closed", me, 3)
        assert [n["text"] for n in view.work["notes"]] == ["Đã gọi điện cho chủ máy", "a backup job"]
        do(store, id_, alerts.reopen("it came back"))
        view = alerts.get(store, id_)
        assert (view.status, view.work["reason"], view.owner) == ("open", "", me)
        assert [entry["action"] for entry in view.work["history"]] == ["ack", "note", "close", "reopen"]
        assert {entry["by"] for entry in view.work["history"]} == {me}

    def test_detection_and_analysts_never_touch_each_other(self, store: Store) -> None:
        """A sweep after a change keeps it, a change after a sweep keeps the count."""
        view = next(v for v in alerts.list_alerts(store) if v.body["entity"] == "web01")
        do(store, view.id, alerts.assign("huong"))
        append(store, {"late": event(10, host="web01")})
        sweep(store, [rule("high")])
        after = alerts.get(store, view.id)
        assert (after.owner, after.count) == ("huong", view.count + 1)

    def test_all_is_in_the_audit_log(self, store: Store) -> None:
        """Many alerts are one entry; the chain and every document hold."""
        found = [view.id for view in alerts.list_alerts(store)]
        alerts.apply(store, found, alerts.close("benign", "a test"), on_behalf_of="Huong, by phone")
        (entry,) = audit.entries(store)
        assert (entry.action, entry.on_behalf_of, len(entry.documents)) == (
            "alert.close",
            "Huong, by phone",
            5,
        )
        assert audit.verify(store).ok

    def test_closing_needs_a_known_reason_and_sometimes_a_note(self) -> None:
        """Nothing is closed without words that help the next one."""
        with pytest.raises(UsageError, match="one of true-positive"):
            alerts.close("whatever")
        with pytest.raises(UsageError, match="wants a note"):
            alerts.close("false-positive", "  ")

    @pytest.mark.parametrize("text", ["", "   ", "x" * 30_000])
    def test_texts_have_bounds(self, text: str) -> None:
        """Neither nothing nor a novel."""
        with pytest.raises(UsageError):
            alerts.note(text)

    @pytest.mark.parametrize(
        "text", ["\x00\x1b[31m", "a\ud800b", "' or 1=1 --", "\u202egnirts", "\U0001f600" * 100]
    )
    def test_any_text_can_be_a_note(self, store: Store, text: str) -> None:
        """Whatever is pasted is kept; only what no store can hold is replaced."""
        id_ = one(store)
        assert do(store, id_, alerts.note(text)).ok
        assert len(alerts.get(store, id_).work["notes"]) == 1

    @pytest.mark.parametrize("user", ["", " ", "a\nb", "x" * 200])
    def test_users_have_names(self, user: str) -> None:
        """What cannot be a name is refused."""
        with pytest.raises(UsageError, match="not a user"):
            alerts.assign(user)

    def test_closed_is_closed(self, store: Store) -> None:
        """No other change than a note or reopening; open ones cannot be reopened."""
        id_ = one(store)
        assert isinstance(do(store, id_, alerts.reopen("why")).error, UsageError)
        do(store, id_, alerts.close("benign"))
        for change in (alerts.ack("me"), alerts.assign("huong"), alerts.close("duplicate")):
            error = do(store, id_, change).error
            assert isinstance(error, UsageError)
            assert "reopen" in error.hint
        assert do(store, id_, alerts.note("still")).ok

    def test_nothing_to_do_writes_nothing(self, store: Store) -> None:
        """Acknowledging twice is one change."""
        id_ = one(store)
        do(store, id_, alerts.ack("an"))
        again = do(store, id_, alerts.ack("an"))
        assert (again.ok, again.unchanged) == (True, True)
        assert alerts.get(store, id_).version == 1

    def test_dry_run(self, store: Store) -> None:
        """Shows what would be and leaves no trace."""
        id_ = one(store)
        done = do(store, id_, alerts.close("benign"), dry_run=True)
        assert done.view is not None
        assert (done.view.status, alerts.get(store, id_).status) == ("closed", "open")
        assert store.audit_last() is None

    def test_several_each_on_its_own(self, store: Store) -> None:
        """One that fails does not hold up the others; the same id twice is one."""
        found = [view.id for view in alerts.list_alerts(store)]
        do(store, found[1], alerts.close("benign"))
        results = alerts.apply(store, [*found[:3], found[0], "A-000000", "%"], alerts.ack("an"))
        assert [r.ok for r in results] == [True, False, True, False, False]


class TestConflict:
    def test_other_change_is_shown_and_own_text_kept(self, store: Store) -> None:
        """Made on an older version, nothing is written."""
        id_ = one(store)
        do(store, id_, alerts.note("I am on it"))
        do(store, id_, alerts.assign("huong"))
        done = do(store, id_, alerts.close("false-positive", "a long explanation"), expect={id_: 0})
        error = done.error
        assert isinstance(error, ConflictError)
        assert error.exit_code == 3
        assert "I am on it" in error.theirs, "every change since, not only the last one"
        assert "assigned it to huong" in error.theirs
        assert error.mine == "a long explanation"
        assert alerts.get(store, id_).status == "open"

    def test_change_between_reading_and_writing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """The store refuses it, and the audit log says that it did not happen."""
        id_ = one(store)
        real = audit.change
        calls: list[int] = []

        def slow(*args: Any, **kwargs: Any) -> Any:
            if not calls:
                calls.append(1)
                do(store, id_, alerts.assign("huong"))
            return real(*args, **kwargs)

        monkeypatch.setattr(audit, "change", slow)
        error = do(store, id_, alerts.close("benign", "mine")).error
        assert isinstance(error, ConflictError)
        assert "assigned it to huong" in error.theirs
        assert alerts.get(store, id_).owner == "huong"
        assert audit.verify(store).ok

    def test_notes_of_two_are_both_kept(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A note can be added to any version."""
        id_ = one(store)
        real = audit.change
        calls: list[int] = []

        def slow(*args: Any, **kwargs: Any) -> Any:
            if not calls:
                calls.append(1)
                do(store, id_, alerts.note("theirs"))
            return real(*args, **kwargs)

        monkeypatch.setattr(audit, "change", slow)
        assert do(store, id_, alerts.note("mine")).ok
        assert [n["text"] for n in alerts.get(store, id_).work["notes"]] == ["theirs", "mine"]

    @pytest.mark.slow
    def test_many_processes_lose_nothing(self, store: Store) -> None:
        """Six processes write ten notes each on one alert: sixty notes, sixty versions, one whole chain."""
        id_ = one(store)
        code = (
            "import sys; from tests.detect.world import open_at; from soc.respond import alerts\n"
            "with open_at(sys.argv[1]) as s:\n"
            "  for i in range(10):\n"
            "    (d,) = alerts.apply(s, [sys.argv[2]], alerts.note(f'{sys.argv[3]}-{i}'))\n"
            "    assert d.ok, d.error"
        )
        command = [sys.executable, "-c", code, store.name, id_]
        processes = [subprocess.Popen([*command, str(n)], cwd=ROOT) for n in range(6)]
        assert [p.wait() for p in processes] == [0] * 6
        view = alerts.get(store, id_)
        assert {n["text"] for n in view.work["notes"]} == {f"{n}-{i}" for n in range(6) for i in range(10)}
        assert view.version == 60
        assert audit.verify(store).ok


def test_history_in_words() -> None:
    """Who, when, what, and what they said."""
    entry = {"by": "an", "at": "2026-03-02T07:00:00.000000Z", "action": "close", "reason": "benign", "on": 2}
    said = alerts.describe({**entry, "note": "restore test"})
    assert said.startswith("an closed it as benign, 2026-03-02")
    assert said.endswith("(version 3): restore test")
    assert "nobody" in alerts.describe({**entry, "action": "assign"})
    assert "frobbed" in alerts.describe({**entry, "action": "frobbed"})
