"""Where a sweep stands in each part of the feed, and who moves it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soc.detect import ledger
from soc.detect.grouping import Hit, micros
from soc.detect.leases import Watch, Worker
from soc.detect.ledger import POSITION_PART, Tally
from soc.detect.places import POSITION, Places
from soc.detect.stage import Staged
from soc.detect.sweep import NAME, Start, Sweeper, status, sweep
from soc.errors import SocError
from soc.event import timestamp
from soc.store.contract import Store
from tests.detect.parted import Parted, some_events
from tests.detect.world import BY_ADDRESS, START, append, check_whole, counts, event, open_at, rule

RULES = (rule(), rule("wide", attributes=BY_ADDRESS))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Parted]:
    """A store of several parts that was swept once, so that all that comes is new."""
    with Parted.at(tmp_path / "store") as opened:
        sweep(opened, RULES)
        yield opened


def expected(events: dict[str, dict[str, object]]) -> Counter[str]:
    """What must be counted."""
    return Counter(str(e["host.name"]) for e in events.values())


def check(store: Store, events: dict[str, dict[str, object]]) -> None:
    """Every hit once, no alert twice, the ledger exact, nobody holds anything."""
    found = counts(store)
    wanted = expected(events)
    assert {host: found[host] for host in wanted} == dict(wanted)
    assert found["192.0.2.7"] == len(events)
    check_whole(store)
    assert {(r.seen, r.matched) for r in ledger.by_rule(store)} == {(len(events), len(events))}
    assert all(d.body["holder"] is None for d in store.find(POSITION_PART))


class TestParts:
    def test_one_alone_takes_all(self, store: Parted) -> None:
        """Each part has its own place; the next sweep has nothing to do."""
        events = some_events(random.Random(1), 80, parts=5)
        append(store, events)
        assert sweep(store, RULES).events == 80
        check(store, events)
        numbers = {d.body["part"]: store.reached(d.body["feed"]).number for d in store.find(POSITION_PART)}
        assert numbers == dict(Counter(str(e["event.module"]) for e in events.values()))
        assert sweep(store, RULES).events == 0

    def test_two_share(self, store: Parted, tmp_path: Path) -> None:
        """Whoever comes while another is at work finds parts to read; neither waits for the other."""
        events = some_events(random.Random(2), 160, parts=8)
        append(store, events)
        shares = []
        with Parted.at(tmp_path / "store") as other:

            def also(_: int) -> None:
                shares.append(sweep(other, RULES, patience=0).events)

            mine = Sweeper(store, RULES).run(progress=also)
        assert mine.left == []
        assert mine.events + sum(shares) == 160
        assert 50 <= mine.events <= 110
        check(store, events)

    def test_a_part_that_appears_meanwhile(self, store: Parted) -> None:
        """It is read from its first event, in the same run."""
        events = some_events(random.Random(3), 20, parts=2)
        append(store, events)
        more = {f"new{i}": event(i, host="h0", event__module="9") for i in range(5)}

        def appears(_: int) -> None:
            append(store, more)

        assert sweep(store, RULES, progress=appears).events == 25
        check(store, {**events, **more})

    def test_a_part_that_is_gone(self, store: Parted) -> None:
        """Its place is forgotten, with a note; what comes under its name later is read from its start."""
        events = {f"e{i}": event(i, host="h0", event__module=str(i % 2)) for i in range(8)}
        append(store, events)
        sweep(store, RULES)
        store.gone = frozenset({"1"})
        assert sweep(store, RULES).notes == ["1 is gone"]
        assert sweep(store, RULES).notes == []
        assert [d.body["part"] for d in store.find(POSITION_PART)] == ["0"]
        store.gone = frozenset()
        again = sweep(store, RULES)
        assert (again.events, again.alerts.counted) == (4, 0)

    def test_a_part_that_was_there_at_first_and_is_gone(self, tmp_path: Path) -> None:
        """Also when nobody has ever read it."""
        with Parted.at(tmp_path / "store") as store:
            append(store, {f"e{i}": event(i, event__module=str(i % 2)) for i in range(8)})
            assert sweep(store, RULES).skipped == 8
            store.gone = frozenset({"1"})
            assert sweep(store, RULES).notes == ["1 is gone"]
            assert sweep(store, RULES).notes == []

    def test_a_part_that_was_set_back(self, store: Parted) -> None:
        """A restored shard is read again from its start, also when its note came with a batch of another."""
        events = {f"e{i}": event(i, event__module=str(i % 2)) for i in range(8)}
        append(store, events)
        sweep(store, RULES)
        more = {f"f{i}": event(20 + i, event__module="0") for i in range(2)}
        append(store, more)
        store.restored = frozenset({"1"})
        result = Sweeper(store, RULES, batch=3).run()
        assert (result.events, result.notes, result.alerts.counted) == (6, ["1 was restored"], 4)
        store.restored = frozenset()
        assert sweep(store, RULES).events == 0
        assert sum(counts(store).values()) == 20


class TestHolding:
    def test_whoever_leaves_lets_go(self, store: Parted) -> None:
        """Also when it fails."""
        append(store, some_events(random.Random(4), 30, parts=3))

        def fails(_: int) -> None:
            raise SocError("a failure")

        with pytest.raises(SocError, match="a failure"):
            sweep(store, RULES, progress=fails)
        assert all(d.body["holder"] is None for d in store.find(POSITION_PART))
        sweep(store, RULES, patience=0)
        assert sum(counts(store).values()) == 60

    def test_what_another_holds_is_left_and_named(self, store: Parted) -> None:
        """With who, and how much waits; the rest is swept."""
        events = {f"e{i}": event(i, event__module=str(i % 3)) for i in range(9)}
        append(store, events)
        far = Worker("w", "far.example.org", 77, "another machine", 1, 60)
        places = Places(store, NAME, far)
        places.open(None, "")
        (held,) = places.take([p for p in places.survey() if p.part.key == "1"])
        result = sweep(store, RULES, patience=0)
        assert result.events == 6
        assert [(x.part, x.waiting, x.by) for x in result.left] == [
            ("part 1", 3, "far.example.org process 77")
        ]
        (shown,) = [p for p in status(store)[0].parts if p.holder]
        assert (shown.part, shown.waiting, shown.lease) == ("part 1", 3, 60)
        held.release()
        assert sweep(store, RULES, patience=0).events == 3

    def test_taken_over_when_it_stays_silent(self, store: Parted) -> None:
        """After its lease, by who waits; its own writes are then refused, and move nothing."""
        append(store, {f"e{i}": event(i, event__module="1") for i in range(3)})
        far = Worker("w", "far.example.org", 77, "another machine", 1, 0.4)
        places = Places(store, NAME, far)
        places.open(None, "")
        (held,) = places.take(places.survey())
        assert sweep(store, RULES).events == 3
        before = list(store.find(POSITION_PART))
        for act in (held.fence, held.commit, held.release):
            with pytest.raises(SocError, match="taken over"):
                act()
        assert list(store.find(POSITION_PART)) == before

    def test_never_backwards(self, store: Parted) -> None:
        """Unless the store says that it was set back."""
        append(store, {f"e{i}": event(i, event__module="1") for i in range(5)})
        sweep(store, RULES)
        places = Places(store, NAME, Worker.here())
        places.open(None, "")
        (held,) = places.take(places.survey())
        with pytest.raises(SocError, match="would move back"):
            held.move({"parts": {"1": 4}})
        held.back = True
        held.move({"parts": {"1": 4}})
        held.let_go()


class Told:
    """A stage that remembers the watermarks that it was told."""

    def __init__(self) -> None:
        self.watermarks: list[int] = []

    def begin(self) -> None:
        """Nothing."""

    def take(self, hits: Sequence[Hit], *, replay: bool) -> Staged:
        """All hits go on."""
        del replay
        return Staged(list(hits))

    def finish(self, watermark: int) -> Staged:
        """Remember it."""
        self.watermarks.append(watermark)
        return Staged([])


def test_watermark_waits_for_every_part(store: Parted) -> None:
    """A part that another has not caught up with holds it back; then it goes on."""
    stage = Told()
    append(store, {f"a{i}": event(i, event__module=str(i)) for i in range(3)})
    sweeper = Sweeper(store, RULES, stages=[stage])
    sweeper.run()
    places = Places(store, NAME, Worker("w", "far", 1, "another machine", 1, 60))
    places.open(None, "")
    (held,) = places.take([p for p in places.survey() if p.part.key == "1"])
    before = micros(timestamp(datetime.now(UTC)))
    append(store, {f"b{i}": event(i, event__module=str(i)) for i in range(3)})
    (at,) = [d.body["caught_up"] for d in store.find(POSITION_PART) if d.body["part"] == "1"]
    sweeper.run(patience=0)
    assert micros(at) <= stage.watermarks[-1] < before
    held.release()
    sweeper.run(patience=0)
    assert stage.watermarks == sorted(stage.watermarks)
    assert stage.watermarks[-1] > before


def test_watermark_follows_a_clock_that_is_set_back(store: Parted) -> None:
    """What was said when it was wrong does not hold for ever."""
    stage = Told()
    times = [START, START + timedelta(days=30), START + timedelta(hours=1)]
    sweeper = Sweeper(store, RULES, stages=[stage], clock=lambda: times[len(stage.watermarks)])
    for _ in times:
        sweeper.run()
    assert stage.watermarks == [micros(timestamp(time)) for time in times]


class TestStart:
    def test_an_earlier_layout_is_taken_over(self, tmp_path: Path) -> None:
        """The one document of a store that was swept before: place, replay and ledger go on from there."""
        with open_at(tmp_path / "store") as store:
            append(store, {f"e{i}": event(i) for i in range(4)})
            feed = store.head()
            append(store, {f"f{i}": event(10 + i) for i in range(3)})
            rules = [rule()]
            ruleset = ledger.ruleset_id(rules)
            ledger.publish(store, rules, ruleset, START)
            day = timestamp(datetime.now(UTC))[:10]
            old = {
                "feed": dict(feed),
                "replay": None,
                "ledger": Tally(day, ruleset, NAME, events=4, hits=4, rules={"shell": [4, 0]}).body(),
                "ruleset": ruleset,
                "rules": 1,
                "opened": {"hour": "", "rules": {}},
                "swept_at": "2026-03-02T07:00:00.000000Z",
                "by": "host process 1",
            }
            store.put(POSITION, NAME, old, expect=0)
            (before,) = status(store)
            assert (before.waiting, before.events_today, before.rules) == (3, 4, 1)
            assert sweep(store, rules).events == 3
            assert [(r.seen, r.matched) for r in ledger.by_rule(store)] == [(7, 7)]

    def test_two_that_begin_again_at_once_share(self, store: Parted, tmp_path: Path) -> None:
        """Who asks for the same with the same rules while it is being done joins in."""
        events = some_events(random.Random(5), 60, parts=4)
        append(store, events)
        with Parted.at(tmp_path / "store") as other:
            joined: list[int] = []

            def also(_: int) -> None:
                if not joined:
                    joined.append(sweep(other, RULES, start=Start(), patience=0).events)

            first = Sweeper(store, RULES, batch=10).run(Start(), progress=also)
        assert first.events + joined[0] == 60
        check(store, events)
        assert not status(store)[0].replaying
        assert sweep(store, RULES, start=Start()).events == 60, "done once more when it is asked for again"
        assert sum(counts(store).values()) == 120

    def test_other_rules_do_not_join(self, store: Parted) -> None:
        """They must see all of it themselves."""
        append(store, some_events(random.Random(6), 40, parts=4))
        Sweeper(store, RULES, batch=10).run(Start(), stop=lambda: True)
        assert status(store)[0].replaying
        assert sweep(store, [rule("other")], start=Start()).events == 40
        assert not status(store)[0].replaying


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Before any reading and writing of one worker, another may take over all that it holds and sweep on, and
    that one be overtaken again: still every hit is counted once, and no place moves back."""
    rng = random.Random(seed)
    monkeypatch.setattr(Watch, "expired", lambda *_: True)  # nobody is ever waited for
    events = some_events(rng, 240, parts=3)
    depth = 0
    with Parted.at(tmp_path / "store") as first, Parted.at(tmp_path / "store") as looking:
        sweep(first, RULES)
        append(first, events)
        seen: dict[str, int] = {}

        def meanwhile() -> None:
            nonlocal depth
            for document in looking.find(POSITION_PART):
                number = looking.reached(document.body["feed"] or looking.beginning()).number
                assert number >= seen.get(document.id, 0)
                seen[document.id] = number
            if depth < 3 and rng.random() < 0.06:
                depth += 1
                with Parted.at(tmp_path / "store") as other:
                    other.meanwhile = meanwhile
                    batches = rng.randrange(1, 4)
                    stop = iter([False] * batches)
                    Sweeper(other, RULES, batch=rng.choice([5, 13, 40])).run(
                        patience=0, stop=lambda: next(stop, True)
                    )
                depth -= 1

        first.meanwhile = meanwhile
        for _ in range(40):
            if not sum(p.waiting for p in status(looking)[0].parts):
                break
            Sweeper(first, RULES, batch=17).run(patience=0)
        first.meanwhile = None
        sweep(first, RULES)
        check(first, events)
