"""The sweep: nothing missed, nothing counted twice, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soc.config import StoreSettings
from soc.detect import ledger
from soc.detect.leases import Worker
from soc.detect.predicate import And, Op, Test
from soc.detect.sweep import (
    Start,
    Sweeper,
    SweepResult,
    estimate,
    keep_sweeping,
    status,
    sweep,
)
from soc.errors import ConflictError, StoreUnavailableError
from soc.store import open_store
from soc.store.contract import Document, FeedBatch, Part, Position, Store, VersionConflictError, Write
from soc.store.embedded import EmbeddedStore
from tests.detect.world import BY_ADDRESS, SOURCE, START, append, check_whole, counts, event, open_at, rule

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty embedded store that was swept once, so that all that comes is new."""
    with open_at(tmp_path / "store") as opened:
        sweep(opened, [rule()])
        yield opened


class TestOnce:
    def test_hits_become_alerts(self, store: Store) -> None:
        """One alert for each host, with what an analyst needs."""
        append(store, {f"e{i}": event(i, fires=i % 3 == 0, host=f"web0{i % 2}") for i in range(60)})
        result = sweep(store, [rule()])
        assert (result.events, result.hits, len(result.alerts.opened)) == (60, 20, 2)
        assert counts(store) == {"web00": 10, "web01": 10}
        check_whole(store)
        body = next(d.body for d in store.find("alert") if d.body["entity"] == "web00")
        assert body["group"] == {"host.name": "web00"}
        assert body["rule"]["version"] == "v1"
        assert (body["first"], body["last"]) == ("2026-03-02T07:00:00.000000Z", "2026-03-02T07:00:54.000000Z")
        assert body["about"]["source.ip"] == ["192.0.2.7"]

    def test_events_are_copied_whole(self, store: Store) -> None:
        """An alert carries its first and last events with it, exactly as they were stored."""
        append(store, {f"e{i:02}": event(i, tags=["a", "b"], source__port=i) for i in range(40)})
        (id_,) = sweep(store, [rule()]).alerts.opened
        document = store.read("alert_events", id_)
        assert document is not None
        assert [s["id"] for s in document.body["samples"]] == [
            f"e{i:02}" for i in (*range(20), *range(35, 40))
        ]
        assert document.body["samples"][3]["event"] == event(3, tags=["a", "b"], source__port=3)

    def test_a_line_without_end_does_not_fill_alerts(self, store: Store) -> None:
        """Of a huge text an alert carries the beginning and says so; the store has all of it."""
        append(store, {f"e{i}": event(i, event__original="x" * 3_000_000) for i in range(3)})
        (id_,) = sweep(store, [rule()]).alerts.opened
        document = store.read("alert_events", id_)
        assert document is not None
        kept = document.body["samples"][0]["event"]
        assert (len(kept["event.original"]), kept["soc.shortened"]) == (65_536, ["event.original"])
        assert len(store.events(["e0"])[0].event["event.original"]) == 3_000_000

    def test_nothing_new_changes_nothing(self, store: Store) -> None:
        """A second sweep reads nothing."""
        append(store, {"e1": event()})
        sweep(store, [rule()])
        before = [(d.id, d.version) for d in store.find("alert")]
        result = sweep(store, [rule()])
        assert (result.events, result.hits) == (0, 0)
        assert [(d.id, d.version) for d in store.find("alert")] == before

    def test_late_events_extend(self, store: Store) -> None:
        """Events that come later belong to the alert of their time."""
        append(store, {"e1": event(1000)})
        (id_,) = sweep(store, [rule()]).alerts.opened
        append(store, {"e2": event(10)})
        result = sweep(store, [rule()])
        assert (result.alerts.opened, result.alerts.extended) == ([], [id_])
        document = store.read("alert", id_)
        assert document is not None
        assert document.body["first"] == "2026-03-02T07:00:10.000000Z"

    def test_dry_run_writes_nothing(self, store: Store) -> None:
        """The same figures, and neither alert nor position."""
        append(store, {f"e{i}": event(i) for i in range(30)})
        before = store.status().documents
        result = sweep(store, [rule()], dry_run=True)
        assert (result.hits, len(result.alerts.opened)) == (30, 1)
        assert store.status().documents == before
        assert sweep(store, [rule()]).hits == 30

    def test_stop_between_batches_goes_on_later(self, store: Store) -> None:
        """What was asked to stop keeps its place."""
        append(store, {f"e{i}": event(i) for i in range(30)})
        sweeper = Sweeper(store, [rule()], batch=10)
        result = sweeper.run(stop=lambda: True)
        assert (result.stopped, result.events) == (True, 10)
        assert sweeper.run().events == 20
        assert sum(counts(store).values()) == 30

    def test_progress_counts_events(self, store: Store) -> None:
        """Who watches learns how far it is."""
        append(store, {f"e{i}": event(i) for i in range(25)})
        seen: list[int] = []
        Sweeper(store, [rule()], batch=10).run(progress=seen.append)
        assert seen == [10, 10, 5]

    def test_correlations_are_named_not_ignored(self, store: Store) -> None:
        """Rules that a sweep cannot run are counted."""
        result = sweep(store, [rule(), rule("burst", correlation={"type": "event_count"})])
        assert result.correlations == 1


class TestFirst:
    def test_starts_from_now_and_says_so(self, tmp_path: Path) -> None:
        """What is there before the first sweep is not looked at, but counted."""
        with open_at(tmp_path) as store:
            append(store, {f"e{i}": event(i) for i in range(7)})
            result = sweep(store, [rule()])
            assert (result.events, result.skipped) == (0, 7)
            append(store, {"new": event(100)})
            assert sweep(store, [rule()]).hits == 1

    def test_from_beginning_reads_all(self, tmp_path: Path) -> None:
        """`Start()` reads everything, also when it was skipped first; again it counts nothing twice."""
        with open_at(tmp_path) as store:
            append(store, {f"e{i}": event(i) for i in range(7)})
            sweep(store, [rule()])
            assert sweep(store, [rule()], start=Start()).alerts.counted == 7
            again = sweep(store, [rule()], start=Start())
            assert (again.hits, again.alerts.counted, again.alerts.opened) == (7, 0, [])
            assert counts(store) == {"web01": 7}

    def test_from_a_moment(self, tmp_path: Path) -> None:
        """Only events since then."""
        with open_at(tmp_path) as store:
            append(store, {f"e{i}": event(i * 60) for i in range(10)})
            result = sweep(store, [rule()], start=Start(START + timedelta(minutes=4)))
            assert result.hits == 6

    def test_estimate(self, tmp_path: Path) -> None:
        """How much an earlier start would read and raise."""
        with open_at(tmp_path) as store:
            append(store, {f"e{i}": event(i, host=f"h{i % 4}", fires=i % 2 == 0) for i in range(100)})
            found = estimate(store, [rule()], Start())
            assert (found.events, found.hits, found.expected_alerts, found.whole) == (100, 50, 2, True)
            assert estimate(store, [rule()], Start(START + timedelta(seconds=90))).events == 10


class TestClosed:
    def close(self, store: Store, id_: str) -> None:
        """Close an alert as an analyst would."""
        from soc.respond import alerts

        (done,) = alerts.apply(store, [id_], alerts.close("benign", "a test"))
        assert done.ok

    def test_hits_in_its_window_are_counted_on_it(self, store: Store) -> None:
        """A closed alert stays closed and shows what came since."""
        from soc.respond import alerts

        append(store, {"e1": event(0)})
        (id_,) = sweep(store, [rule()]).alerts.opened
        self.close(store, id_)
        append(store, {"e2": event(60), "e3": event(61)})
        assert sweep(store, [rule()]).alerts.opened == []
        view = alerts.get(store, id_)
        assert (view.status, view.count, view.since_closed) == ("closed", 3, 2)

    def test_first_hit_after_it_opens_one_that_knows(self, store: Store) -> None:
        """The new alert tells how the last ones ended."""
        append(store, {"e1": event(0)})
        (id_,) = sweep(store, [rule()]).alerts.opened
        self.close(store, id_)
        append(store, {"e2": event(3600)})
        (new,) = sweep(store, [rule()]).alerts.opened
        document = store.read("alert", new)
        assert document is not None
        (before,) = document.body["previous"]
        assert (before["id"], before["status"], before["reason"]) == (id_, "closed", "benign")
        assert before["by"] == store.whoami()


class TestVersions:
    def test_changed_rule_goes_on_without_gap(self, store: Store) -> None:
        """A new version sees the next event; the alert names both, the store keeps the text of both."""
        append(store, {"e1": event(0)})
        (id_,) = sweep(store, [rule()]).alerts.opened
        append(store, {"e2": event(1)})
        sweep(store, [rule(version="v2")])
        document = store.read("alert", id_)
        assert document is not None
        assert document.body["versions"] == ["v1", "v2"]
        assert {d.id for d in store.find(ledger.RULE_VERSION)} == {"shell:v1", "shell:v2"}

    def test_new_rule_does_not_see_what_was_swept(self, store: Store) -> None:
        """Unless told to."""
        append(store, {"e1": event(0)})
        sweep(store, [rule()])
        both = [rule(), rule("wide", attributes=BY_ADDRESS)]
        assert sweep(store, both).hits == 0
        assert len(sweep(store, both, start=Start()).alerts.opened) == 1

    def test_text_of_the_rule_is_kept(self, store: Store, tmp_path: Path) -> None:
        """As it was when it ran first."""
        path = tmp_path / "r.yml"
        path.write_text("title: Một quy tắc\n")
        sweep(store, [rule("kept", path=str(path))])
        path.write_text("title: changed\n")
        sweep(store, [rule("kept", path=str(path)), rule("other")])
        document = store.read(ledger.RULE_VERSION, "kept:v1")
        assert document is not None
        assert document.body["text"] == "title: Một quy tắc\n"


class TestLedger:
    def test_counts_are_exact(self, store: Store) -> None:
        """Seen, matched and undecided for each version."""
        append(store, {f"e{i}": event(i, fires=i < 4) for i in range(10)})
        Sweeper(store, [rule()], batch=3).run()
        append(store, {f"f{i}": event(i) for i in range(5)})
        sweep(store, [rule(version="v2")])
        found = {(r.rule, r.version): (r.seen, r.matched, r.current) for r in ledger.by_rule(store)}
        assert found[("shell", "v1")] == (10, 4, False) or found[("shell", "v1")] == (10, 4, True)
        assert found[("shell", "v2")][:2] == (5, 5)

    def test_undecided_is_counted_apart(self, store: Store) -> None:
        """A regular expression that runs out of time is neither a match nor none."""
        slow = rule("slow", predicate=And((SOURCE, Test("url.path", Op.REGEX, r"(?=(a+)+\1b$)a"))))
        append(store, {"e1": event(0, url__path="a" * 40)})
        result = sweep(store, [slow])
        (seen,) = [r for r in ledger.by_rule(store) if r.rule == "slow"]
        assert (result.hits, result.undecided) in {(0, 1), (0, 0)}
        assert seen.undecided == result.undecided

    def test_blind_rules_are_named(self, store: Store) -> None:
        """A rule whose field is never filled in its source is not just silent."""
        wanted = Test("process.command_line", Op.CONTAINS, "x")
        sightless = rule("sightless", predicate=And((SOURCE, wanted)), fields=("process.command_line",))
        elsewhere = rule("elsewhere", source=Test("event.dataset", Op.EQUALS, "sshd.auth"))
        append(store, {f"e{i}": event(i, fires=False) for i in range(300)})
        result = sweep(store, [rule(), sightless, elsewhere])
        assert list(result.blind) == ["sightless"]
        assert "process.command_line" in result.blind["sightless"]
        (entry,) = [r for r in ledger.by_rule(store) if r.rule == "sightless"]
        assert entry.blind == result.blind["sightless"]

    def test_status_says_where_it_stands(self, store: Store) -> None:
        """Position, waiting events, and by whom."""
        append(store, {f"e{i}": event(i) for i in range(3)})
        (found,) = status(store)
        assert (found.name, found.waiting, found.rules) == ("sweep", 3, 1)
        assert str(os.getpid()) in found.by
        sweep(store, [rule()])
        assert status(store)[0].waiting == 0


class Away(EmbeddedStore):
    """A store that cannot be reached now and then, in the middle of whatever was being done."""

    left = 0

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """As a sound one, until it is away."""
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailableError("the store is away")
        return super().write(writes)


class TestNothingIsSkipped:
    def test_an_event_that_is_indexed_late(self, store: Store) -> None:
        """However old its time is, behind however many sweeps and restarts: it is new, so it is swept."""
        for turn in range(4):
            append(store, {f"e{turn}": event(turn * 4000)})
            Sweeper(store, [rule()]).run()
        append(store, {"late": event(-86_400 * 40, host="late"), "between": event(5000, host="between")})
        result = Sweeper(store, [rule()]).run()
        assert (result.hits, counts(store)["late"], counts(store)["between"]) == (2, 1, 1)

    def test_runs_that_fail_skip_nothing(self, store: Store) -> None:
        """A store that fails again and again delays a sweep; it catches up with all of it, and the ledger has
        no gap to show."""
        from soc.detect.gaps import Gaps

        rng = random.Random(11)
        appended = 0
        with Away.open(StoreSettings(target=store.name)) as failing:
            assert isinstance(failing, Away)
            sweeper = Sweeper(failing, [rule()], batch=6)
            for _ in range(15):
                append(store, {f"e{appended + i}": event(appended + i) for i in range(20)})
                appended += 20
                failing.left = rng.randrange(9)
                with contextlib.suppress(StoreUnavailableError):
                    sweeper.run()
            failing.left = 10_000
            sweeper.run()
        assert sum(counts(store).values()) == appended
        check_whole(store)
        (seen,) = ledger.by_rule(store)
        assert (seen.seen, seen.matched) == (appended, appended)
        assert Gaps(store).size("shell", "v1") == 0

    def test_looking_back_again_and_again_alerts_once(self, store: Store) -> None:
        """Look-back that overlaps, from many moments, in any order: the alerts are those of one look."""
        append(store, {f"e{i}": event(i * 600, host=f"h{i % 2}") for i in range(40)})
        sweep(store, [rule()])
        before = [(d.id, d.body["count"]) for d in store.find("alert")]
        for hours in (1, 5, 2, 6, 1):
            again = sweep(store, [rule()], start=Start(START + timedelta(hours=hours)))
            assert (again.hits > 0, again.alerts.counted) == (True, 0)
        assert [(d.id, d.body["count"]) for d in store.find("alert")] == before


class TestOverflow:
    def test_one_alert_for_too_many_entities(self, store: Store) -> None:
        """A rule that fires on thousands of hosts opens a bounded number of alerts, and one for the rest."""
        append(store, {f"e{i}": event(i / 10, host=f"h{i}") for i in range(500)})
        result = sweep(store, [rule()])
        assert len(result.alerts.opened) == 201
        assert result.alerts.overflowed == 300
        assert sum(counts(store).values()) == 500
        (over,) = [d.body for d in store.find("alert") if d.body["overflow"]]
        assert (over["count"], over["entity"]) == (300, "")

    def test_ten_thousand_hits_on_a_thousand_entities(self, store: Store) -> None:
        """None is lost in silence: the overflow alert says how many hits and how many entities."""
        from soc.respond import alerts

        append(store, {f"e{i}": event(i / 10, host=f"h{i % 1000}") for i in range(10_000)})
        result = sweep(store, [rule()])
        assert (result.hits, len(result.alerts.opened)) == (10_000, 201)
        assert sum(counts(store).values()) == 10_000
        (over,) = alerts.list_alerts(store, alerts.wanted("overflow:true"))
        assert (over.count, over.body["entities"]) == (8_000, 800)
        assert over.title == "Rule shell (many more)"
        assert sweep(store, [rule()], start=Start()).alerts.counted == 0

    def test_bound_holds_over_many_sweeps(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sweep every minute does not open two hundred alerts every minute; the next hour begins anew."""
        from soc.detect import sweep_parts as module

        monkeypatch.setattr(module, "_hour", lambda: "2026-03-02T07")
        for turn in range(4):
            append(store, {f"e{turn}-{i}": event(i / 10, host=f"h{turn}-{i}") for i in range(90)})
            sweep(store, [rule()])
        assert len(list(store.find("alert"))) == 201
        monkeypatch.setattr(module, "_hour", lambda: "2026-03-02T08")
        append(store, {"next": event(0, host="next")})
        assert len(sweep(store, [rule()]).alerts.opened) == 1

    def test_swept_again_nothing_moves_out_of_it(self, store: Store) -> None:
        """A hit on the overflow alert stays there."""
        append(store, {f"e{i}": event(i / 10, host=f"h{i}") for i in range(500)})
        sweep(store, [rule()])
        before = counts(store)
        for _ in range(3):
            assert sweep(store, [rule()], start=Start()).alerts.counted == 0
        assert counts(store) == before


class CrashError(Exception):
    """The end of a process, in the place of SIGKILL where a test wants to choose the moment."""


class Fragile(EmbeddedStore):
    """A store whose process ends before or after its n-th document (0: never), also within one call."""

    at = 0
    after = False
    writes = 0

    def write(self, writes: Sequence[Write]) -> list[Document | VersionConflictError]:
        """As a sound one, until the end."""
        results: list[Document | VersionConflictError] = []
        for write in writes:
            self.writes += 1
            if self.writes == self.at and not self.after:
                raise CrashError
            results += super().write([write])
            if self.writes == self.at:
                raise CrashError
        return results


class TestCrash:
    @pytest.mark.slow
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_at_every_write(self, tmp_path: Path, after: bool) -> None:
        """Whichever write is the last one before the crash, the next sweeps end with the same counts."""
        rules = [rule(), rule("wide", attributes=BY_ADDRESS)]
        events = {f"e{i}": event(i * 400, host=f"h{i % 3}") for i in range(24)}
        for at in range(1, 100):
            path = tmp_path / f"{at}"
            with open_at(path) as store, Fragile.open(StoreSettings(target=str(path))) as fragile:
                assert isinstance(fragile, Fragile)
                sweep(store, rules)
                append(store, events)
                fragile.at, fragile.after = at, after
                try:
                    Sweeper(fragile, rules, batch=7, worker=Worker.here(0.1)).run()
                except CrashError:
                    pass
                else:
                    assert at > 40, "the sweep writes more often than this"
                    return
                # another batch size: what is repeated need not be cut as before
                Sweeper(store, rules, batch=5).run()
                assert sum(counts(store).values()) == 48, f"crashed at write {at}"
                check_whole(store)
                assert [r.matched for r in ledger.by_rule(store)] == [24, 24]

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(4))
    def test_killed_at_random_points(self, tmp_path: Path, seed: int) -> None:
        """SIGKILL of real processes, again and again, while events still come in."""
        rng = random.Random(seed)
        path = tmp_path / "store"
        with open_at(path) as store:
            expected: Counter[str] = Counter()
            number = 0
            for _ in range(8):
                some = {}
                for _ in range(600):
                    number += 1
                    fires = rng.random() < 0.4
                    host = f"h{rng.randrange(12)}"
                    some[f"e{number}"] = event(rng.randrange(20_000), fires=fires, host=host)
                    expected[host] += fires
                append(store, some)
                process = spawn(path, batch=rng.choice([20, 50, 170]))
                time.sleep(rng.random() * 0.5)
                process.kill()
                process.wait()
            assert spawn(path, batch=100).wait() == 0
            found = counts(store)
            total = expected.total()
            assert {h: found[h] for h in expected} == dict(expected)
            assert found["192.0.2.7"] == total
            check_whole(store)
            assert [r.matched for r in ledger.by_rule(store)] == [total, total]
            assert {r.seen for r in ledger.by_rule(store)} == {number}


def spawn(path: Path, *, batch: int, pause: float = 0.0) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own, that has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.detect.world", str(path), str(batch), str(pause)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout as out:
        assert out.readline() == b"ready\n"
    return process


class Replayed(EmbeddedStore):
    """A store whose feed gives batches as a test wants them."""

    batches: Sequence[FeedBatch] = ()

    def feed(self, *_: Any, **__: Any) -> Iterator[FeedBatch]:
        """The batches of the test."""
        yield from self.batches

    def parts(self, position: Position) -> list[Part]:
        """There is always something."""
        return [replace(part, waiting=1) for part in super().parts(position)]


def sweep_batches(path: Path, batches: Sequence[FeedBatch]) -> SweepResult:
    """Sweep a store that feeds these batches."""
    with Replayed.open(StoreSettings(target=str(path))) as store:
        assert isinstance(store, Replayed)
        store.batches = batches
        return Sweeper(store, [rule()]).run()


class TestFeed:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(st.integers(0, 9_000), min_size=1, max_size=30, unique=True), st.randoms(), st.integers(1, 9)
    )
    def test_shuffled_and_repeated_batches(
        self, tmp_path_factory: pytest.TempPathFactory, seconds: list[int], rng: random.Random, size: int
    ) -> None:
        """A feed that repeats batches, in any order, still counts every hit once."""
        path = tmp_path_factory.mktemp("store")
        with open_at(path) as store:
            sweep(store, [rule()])
            append(store, {f"e{s}": event(s, host=f"h{s % 2}") for s in seconds})
            stored = store.events([f"e{s}" for s in seconds])
            rng.shuffle(stored)
            cuts = [stored[i : i + size] for i in range(0, len(stored), size)]
            cuts += rng.choices(cuts, k=3)
            batches = [FeedBatch(list(cut), store.head()) for cut in cuts]
            sweep_batches(path, batches)
            assert counts(store) == Counter(f"h{s % 2}" for s in seconds)
            check_whole(store)

    def test_store_that_was_set_back(self, store: Store) -> None:
        """Events that come again with a note of the store are not counted again; the ledger has the note."""
        append(store, {f"e{i}": event(i) for i in range(10)})
        sweep(store, [rule()])
        again = FeedBatch(
            store.events([f"e{i}" for i in range(10)]), store.head(), ("the store was set back",)
        )
        result = sweep_batches(Path(store.name), [again])
        assert (result.hits, result.alerts.counted, result.notes) == (10, 0, ["the store was set back"])
        assert "set back" in status(store)[0].notes[0]


class TestTogether:
    def test_one_that_comes_later_is_told_what_is_left(self, store: Store) -> None:
        """Whoever finds a part of the feed taken leaves it to who has it, and says who that is."""
        append(store, {f"e{i}": event(i) for i in range(20)})
        results: list[SweepResult] = []

        def other(_: int) -> None:
            results.append(sweep(store, [rule()], patience=0))

        assert Sweeper(store, [rule()], batch=10).run(progress=other).events == 20
        assert [r.events for r in results] == [0, 0]
        (left,) = results[0].left
        assert (left.waiting, left.why) == (10, "another sweep is at work on it")
        assert str(os.getpid()) in left.by
        assert results[1].left == []  # what was there when it came is swept
        assert counts(store) == {"web01": 20}

    def test_stale_sweep_counts_nothing_even_when_others_forgot(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that was stopped for long and wakes with hits that nobody remembers any more is fenced off."""
        from soc.detect import grouping

        monkeypatch.setattr(grouping, "REMEMBERED", 10)
        append(store, {f"e{i}": event(i) for i in range(5)})
        stale = Sweeper(store, [rule()], batch=5, worker=Worker.here(0.5))
        real = stale._writer.write

        def sleep_first(*args: Any, **kwargs: Any) -> Any:
            append(store, {f"f{i}": event(100 + i) for i in range(40)})
            Sweeper(store, [rule()], batch=10).run()
            return real(*args, **kwargs)

        monkeypatch.setattr(stale._writer, "write", sleep_first)
        result = stale.run()
        assert (result.events, result.left[0].why) == (0, "taken over")
        assert counts(store) == {"web01": 45}

    @pytest.mark.slow
    def test_three_processes_at_once(self, tmp_path: Path) -> None:
        """Three sweeps of one store, all at work: every hit once, no alert twice."""
        path = tmp_path / "store"
        with open_at(path) as store:
            rng = random.Random(7)
            hosts = [f"h{rng.randrange(30)}" for _ in range(3000)]
            append(store, {f"e{i}": event(rng.randrange(9000), host=h) for i, h in enumerate(hosts)})
            processes = [spawn(path, batch=b, pause=0.01) for b in (40, 60, 90)]
            assert [p.wait() for p in processes] == [0, 0, 0]
            found = counts(store)
            assert found["192.0.2.7"] == 3000
            assert {h: found[h] for h in set(hosts)} == dict(Counter(hosts))
            check_whole(store)
            assert [r.matched for r in ledger.by_rule(store)] == [3000, 3000]


@pytest.mark.elastic
@pytest.mark.slow
class TestElastic:
    """The same on a real cluster."""

    RULES = (rule(), rule("wide", attributes=BY_ADDRESS))

    def test_same_alerts_as_the_embedded_store(self, elastic_settings: StoreSettings, tmp_path: Path) -> None:
        """Ids, counts, times, events: all of it, whatever the order in which the shards are read."""
        events = {f"e{i}": event(i * 70, host=f"h{i % 4}", fires=i % 3 != 0) for i in range(120)}
        found = []
        for settings_ in (elastic_settings, StoreSettings(target=str(tmp_path))):
            with open_store(settings_) as store:
                store.init()
                sweep(store, self.RULES)
                append(store, events)
                result = sweep(store, self.RULES)
                assert (result.events, result.hits, result.alerts.counted) == (120, 160, 160)
                check_whole(store)
                facts = ("full", "count", "first", "last", "group", "level", "versions", "previous")
                found.append({d.id: {name: d.body[name] for name in facts} for d in store.find("alert")})
                assert [r.matched for r in ledger.by_rule(store)] == [80, 80]
        assert found[0] == found[1]

    def test_two_at_once_and_again(self, elastic_settings: StoreSettings) -> None:
        """They share the work; reading everything again counts nothing."""
        with open_store(elastic_settings) as store:
            store.init()
            sweep(store, self.RULES)
            append(store, {f"e{i}": event(i, host=f"h{i % 4}") for i in range(60)})
            slow = Sweeper(store, self.RULES, batch=20)
            with open_store(elastic_settings) as other:

                def also(_: int) -> None:
                    sweep(other, self.RULES, patience=0)

                slow.run(progress=also)
            assert sum(counts(store).values()) == 120
            assert sweep(store, self.RULES, start=Start()).alerts.counted == 0
            check_whole(store)

    def test_triage(self, elastic_settings: StoreSettings) -> None:
        """Alerts are listed, found by prefix, changed and audited."""
        from soc.respond import alerts, audit

        with open_store(elastic_settings) as store:
            store.init()
            append(store, {f"e{i}": event(i, host=f"h{i}") for i in range(3)})
            sweep(store, self.RULES, start=Start())
            found = alerts.list_alerts(store, alerts.wanted("host.name:h1 level:high"))
            assert len(found) == 2
            assert alerts.get(store, found[0].id[:5].lower()).id == found[0].id
            for change, status_ in ((alerts.ack("an"), "acknowledged"), (alerts.close("benign"), "closed")):
                (done,) = alerts.apply(store, [found[0].id], change)
                assert done.view is not None
                assert done.view.status == status_
            (late,) = alerts.apply(store, [found[0].id], alerts.note("x"), expect={found[0].id: 1})
            assert isinstance(late.error, ConflictError)
            assert audit.verify(store).ok


class TestAgainAndAgain:
    def test_trouble_is_told_and_tried_again(self) -> None:
        """A store that is away does not end a sweep that runs for days."""
        calls: list[str] = []
        told: list[str] = []

        def turn() -> None:
            calls.append("turn")
            if len(calls) == 1:
                raise StoreUnavailableError("the store is away")

        keep_sweeping(turn, every=60, stop=lambda _: len(calls) >= 3, trouble=lambda e: told.append(str(e)))
        assert (len(calls), told) == (3, ["the store is away"])

    def test_next_turn_is_on_time(self) -> None:
        """The time that a turn takes is taken off the wait."""
        waits: list[float] = []

        def stop(seconds: float) -> bool:
            waits.append(seconds)
            return True

        keep_sweeping(lambda: time.sleep(0.1), every=1, stop=stop, trouble=lambda _: None)
        assert 0.7 < waits[0] < 0.95


def test_signals_are_free() -> None:
    """The sweep itself leaves signals alone; only the command line takes them."""
    assert signal.getsignal(signal.SIGTERM) in {signal.SIG_DFL, signal.SIG_IGN}
