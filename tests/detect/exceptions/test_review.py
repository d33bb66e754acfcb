"""Which hits an exception would have hidden, on which alerts, and which of these may be closed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soc.detect.exceptions import actions
from soc.detect.exceptions.doubts import doubts, hides_everything
from soc.detect.exceptions.review import Cover, Review, review
from soc.detect.pipelines import Pipelines
from soc.detect.rule import Rule
from soc.detect.sweep import Start, sweep
from soc.errors import ConflictError
from soc.respond import alerts, audit
from soc.store.contract import Store
from tests.detect.exceptions.test_conditions import drafted
from tests.detect.exceptions.world import SHELL, exception, load
from tests.detect.world import START, append, event, open_at

NOW = START + timedelta(days=2)
BY_ADDRESS = SHELL.replace("soc.window: 1h", "soc.window: 1h, soc.group_by: [source.ip]")


def reviewed(store: Store, rule: Rule, *where: str, since: datetime = START - timedelta(days=28)) -> Review:
    """What an exception with these conditions would have hidden."""
    made = drafted(*where, rules=(rule,), now=NOW, pipelines=Pipelines(()))
    return review(store, rule, made.applied[rule.id], since=since, now=NOW)


def by_id(found: Review) -> dict[str, Cover]:
    """Its alerts by id."""
    return {cover.view.id: cover for cover in found.covers}


def test_hits_are_told_alert_by_alert(store: Store, tmp_path: Path) -> None:
    """An alert of many hits is judged by all of them, not by the few that it carries.

    "Close matching" elsewhere missed grouped alerts; here it is said which are covered wholly, partly, not.
    """
    (rule,) = load(tmp_path / "rules", rule=BY_ADDRESS).rules
    events = {f"w{i:03}": event(i, source__ip="192.0.2.1", user__name="backup") for i in range(80)}
    # the 41st hit of this alert, which it does not carry, is of another user
    events |= {
        f"p{i:03}": event(i, source__ip="192.0.2.2", user__name="mallory" if i == 40 else "backup")
        for i in range(80)
    }
    events |= {f"n{i:03}": event(i, source__ip="192.0.2.3", user__name="lan") for i in range(3)}
    append(store, events)
    sweep(store, [rule], start=Start())
    found = reviewed(store, rule, "user.name=backup")
    assert (found.hits, found.hidden, found.loose, len(found.samples)) == (163, 159, 0, 3)
    extents = {c.view.body["entity"]: (c.extent, c.hidden, c.view.count, c.missing) for c in found.covers}
    assert extents == {
        "192.0.2.1": ("wholly", 80, 80, 0),
        "192.0.2.2": ("partly", 79, 80, 0),
        "192.0.2.3": ("not", 0, 3, 0),
    }


@settings(max_examples=20)
@given(
    hits=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["h1", "h2"]), st.sampled_from(["lan", "minh", None])),
        min_size=1,
        max_size=60,
    ),
    batches=st.integers(1, 3),
)
def test_coverage_is_what_counting_by_hand_gives(
    hits: list[tuple[int, str, str | None]], batches: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the order in which hits came, and however they fell into alerts."""
    folder = tmp_path_factory.mktemp("world")
    (rule,) = load(folder / "rules", rule=SHELL.replace("soc.window: 1h", "soc.window: 10m")).rules
    events = {
        f"e{n:02}": event(minute * 60, host=host, user__name=user)
        for n, (minute, host, user) in enumerate(hits)
    }
    with open_at(folder / "store") as store:
        for number in range(batches):
            append(store, dict(list(events.items())[number::batches]))
            sweep(store, [rule], start=Start() if not number else None)
        found = reviewed(store, rule, "user.name=lan")
    assert (found.hits, found.hidden, found.loose) == (len(hits), [u for *_, u in hits].count("lan"), 0)
    for cover in found.covers:
        body = cover.view.body
        mine = [
            one
            for one in events.values()
            if one["host.name"] == body["entity"] and body["first"] <= one["@timestamp"] <= body["last"]
        ]
        hidden = [one["user.name"] for one in mine].count("lan")
        assert (cover.view.count, cover.seen, cover.missing, cover.hidden) == (
            len(mine),
            len(mine),
            0,
            hidden,
        )
        assert cover.extent == ("not" if not hidden else "wholly" if hidden == len(mine) else "partly")


def test_only_what_is_covered_wholly_is_closed(store: Store, tmp_path: Path) -> None:
    """With the reason and a note; the log knows of it."""
    (rule,) = load(tmp_path / "rules", rule=BY_ADDRESS).rules
    append(store, {"a": event(0, source__ip="192.0.2.1"), "b": event(0, source__ip="192.0.2.2")})
    append(store, {"c": event(5, source__ip="192.0.2.2", host="web02")})
    sweep(store, [rule], start=Start())
    found = reviewed(store, rule, "host.name=web01")
    dry = actions.close_covered(store, found.open, reason="benign", note="exception x", dry_run=True)
    assert [r.ok for r in dry] == [True]
    assert all(c.view.status == "open" for c in found.open)
    (closed,) = actions.close_covered(store, found.open, reason="benign", note="exception x: why")
    assert closed.ok
    states = {v.body["entity"]: (str(v.status), v.work.get("reason")) for v in alerts.list_alerts(store)}
    assert states == {"192.0.2.1": ("closed", "benign"), "192.0.2.2": ("open", None)}
    view = alerts.get(store, closed.id)
    assert view.work["notes"][0]["text"] == "exception x: why"
    assert [entry.action for entry in audit.entries(store)] == ["alert.close"]


def test_an_alert_that_changed_since_is_not_closed(store: Store, tmp_path: Path) -> None:
    """A colleague took it, or further hits came: a conflict of its own, and the others are closed."""
    (rule,) = load(tmp_path / "rules", rule=BY_ADDRESS).rules
    append(store, {f"e{i}": event(0, source__ip=f"192.0.2.{i}") for i in range(3)})
    sweep(store, [rule], start=Start())
    found = reviewed(store, rule, "host.name=web01")
    ids = {c.view.body["entity"]: c.view.id for c in found.covers}
    alerts.apply(store, [ids["192.0.2.0"]], alerts.ack("lan"))
    append(store, {"late": event(9, source__ip="192.0.2.1", host="web02")})
    sweep(store, [rule])
    results = {r.id: r for r in actions.close_covered(store, found.open, reason="benign", note="x")}
    assert {i: r.ok for i, r in results.items()} == {
        ids["192.0.2.0"]: False,
        ids["192.0.2.1"]: False,
        ids["192.0.2.2"]: True,
    }
    assert isinstance(results[ids["192.0.2.0"]].error, ConflictError)
    assert "1 more hits" in str(results[ids["192.0.2.1"]].error)


def test_true_positives_are_found(store: Store, tmp_path: Path) -> None:
    """An alert that was closed as one, and part of which it would have hidden."""
    (rule,) = load(tmp_path / "rules").rules
    append(store, {"a": event(0), "b": event(1, host="web02"), "c": event(2, host="web03")})
    ids = sweep(store, [rule], start=Start()).alerts.opened
    alerts.apply(store, ids[:2], alerts.close("true-positive"))
    entities = {alerts.get(store, i).body["entity"] for i in ids[:2]}
    for host in ("web01", "web02", "web03"):
        found = reviewed(store, rule, f"host.name={host}")
        assert bool(found.true_positives) is (host in entities)


def test_what_is_no_longer_in_the_store_is_said(store: Store, tmp_path: Path) -> None:
    """Of pruned hits those that the alert carries are known; for the rest nothing is claimed, so the alert is
    not covered wholly."""
    (rule,) = load(tmp_path / "rules").rules
    append(store, {f"e{i:02}": event(i) for i in range(40)})
    sweep(store, [rule], start=Start())
    assert reviewed(store, rule, "host.name=web01").covers[0].extent == "wholly"
    store.prune(START + timedelta(days=400))
    if any(True for _ in store.search()):
        pytest.skip("this store prunes whole periods only")
    (cover,) = reviewed(store, rule, "host.name=web01").covers
    assert (cover.extent, cover.seen, cover.missing) == ("partly", 25, 15)
    few = {f"f{i}": event(i, host="web02") for i in range(3)}
    append(store, few)
    (id_,) = sweep(store, [rule]).alerts.opened
    store.prune(START + timedelta(days=400))
    cover = by_id(reviewed(store, rule, "host.name=web02"))[id_]
    assert (cover.extent, cover.seen, cover.missing) == ("wholly", 3, 0)


def test_hits_of_an_earlier_version_of_the_rule_count(store: Store, tmp_path: Path) -> None:
    """An alert holds what was counted on it, whatever the rule says today."""
    (old,) = load(tmp_path / "rules").rules
    append(store, {f"e{i:02}": event(i, user__name="backup") for i in range(40)})
    sweep(store, [old], start=Start())
    (new,) = load(tmp_path / "rules", rule=SHELL.replace("cmd=", "exec=")).rules
    found = reviewed(store, new, "user.name=backup")
    assert (found.hits, found.hidden) == (0, 0)
    assert [(c.extent, c.seen) for c in found.covers] == [("wholly", 40)]


def test_other_exceptions_hide_their_own(store: Store, tmp_path: Path) -> None:
    """What one hides already is no hit of today, and is still part of the alert that it was counted on."""
    (rule,) = load(tmp_path / "rules").rules
    append(store, {"a": event(0), "b": event(1, user__name="backup")})
    sweep(store, [rule], start=Start())
    (narrowed,) = load(tmp_path / "rules", exception("user.name: backup")).rules
    append(store, {"c": event(2, user__name="backup"), "d": event(3)})
    sweep(store, [narrowed])
    found = reviewed(store, narrowed, "host.name=web01")
    assert (found.hits, found.hidden, found.loose) == (2, 2, 0)
    (cover,) = found.covers
    assert (cover.extent, cover.view.count, cover.seen) == ("wholly", 3, 3)


def test_many_alerts_of_one_entity(store: Store, tmp_path: Path) -> None:
    """More than a group lists: each hit is still known to be on its alert."""
    (rule,) = load(tmp_path / "rules", rule=SHELL.replace("soc.window: 1h", "soc.window: 10s")).rules
    append(store, {f"e{i:03}": event(i * 60) for i in range(70)})
    sweep(store, [rule], start=Start())
    found = reviewed(store, rule, "host.name=web01")
    assert (found.hits, found.hidden, found.loose, len(found.touched)) == (70, 70, 0, 70)


def test_an_overflow_alert_is_judged_by_all_its_hits(store: Store, tmp_path: Path) -> None:
    """Also the one alert that stands for many entities."""
    (rule,) = load(tmp_path / "rules").rules
    append(store, {f"e{i:03}": event(i, host=f"web{i:03}") for i in range(240)})
    sweep(store, [rule], start=Start())
    (over,) = [v.id for v in alerts.list_alerts(store) if v.body["overflow"]]
    found = reviewed(store, rule, "source.ip=192.0.2.7")
    assert (found.hits, found.loose, by_id(found)[over].extent) == (240, 0, "wholly")
    assert by_id(found)[over].view.count == 40
    cover = by_id(reviewed(store, rule, "host.name|endswith=9"))[over]
    assert (cover.extent, cover.missing) == ("partly", 0)


def test_old_alerts_that_are_open_are_looked_at(store: Store, tmp_path: Path) -> None:
    """Also those from before the period; closed ones are not."""
    (rule,) = load(tmp_path / "rules").rules
    append(store, {"a": event(0), "b": event(1, host="web02")})
    one, two = sweep(store, [rule], start=Start()).alerts.opened
    alerts.apply(store, [two], alerts.close("benign"))
    found = reviewed(store, rule, "url.query|contains=cmd", since=START + timedelta(days=1))
    assert (found.hits, list(by_id(found)), found.covers[0].extent) == (0, [one], "wholly")


@pytest.mark.parametrize(
    ("where", "everything"),
    [
        (["url.query|contains=cmd="], True),
        (["url.query|exists=true"], True),
        (["@timestamp|exists=true"], True),
        (["url.query|contains=cmd=", "host.name|exists=true"], False),
        (["url.query:* or host.name:web01"], True),
        (["host.name=web01"], False),
        (["url.query|exists=false"], False),
        (["host.name:web01 or not host.name:web01"], True),
    ],
)
def test_an_exception_that_hides_everything(where: Sequence[str], everything: bool, tmp_path: Path) -> None:
    """Found from the condition alone."""
    (rule,) = load(tmp_path).rules
    made = drafted(*where, rules=(rule,))
    assert hides_everything(rule, made.applied[rule.id]) is everything


def test_doubts_are_told(tmp_path: Path) -> None:
    """A field that does not exist, a star that stands for itself, nothing or everything hidden."""
    (rule,) = load(tmp_path).rules

    def said(*where: str, hits: int = 0, hidden: int = 0) -> str:
        made = drafted(*where, rules=(rule,))
        return "\n".join(doubts(made, [Review(rule, datetime.now(UTC), hits=hits, hidden=hidden)]))

    assert "no event may ever have the field host.nam" in said("host.nam=x")
    assert "stand for themselves" in said("host.name=web*")
    assert "a --where of its own" in said("host.name=x and url.path=y")
    assert said("host.name=x") == "it hides nothing of that time"
    assert said("host.name=x", hits=9, hidden=9) == "it hides all 9 hits of Web shell"
    assert "it hides every hit of Web shell" in said("url.query|exists=true", hits=9, hidden=9)
    assert said("host.name=x", hits=9, hidden=1) == ""
