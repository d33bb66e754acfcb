"""Rules in shadow: matched and counted, and no alerts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from soc.detect import ledger
from soc.detect.grouping import Hit
from soc.detect.stage import Staged
from soc.detect.sweep import Sweeper, sweep
from tests.detect.world import append, counts, event, open_at, rule

LOUD, QUIET = rule("loud"), rule("quiet", mode="shadow")


def test_hits_are_counted_and_raise_no_alert(tmp_path: Path) -> None:
    """A new rule is tried on real events: the ledger has its hits, triage has nothing of it."""
    with open_at(tmp_path / "store") as store:
        sweep(store, [LOUD, QUIET])
        append(store, {f"e{i}": event(i) for i in range(10)})
        result = sweep(store, [LOUD, QUIET])
        assert (result.hits, result.shadow, result.by_rule["quiet"]) == (20, 10, [10, 0])
        assert {d.body["rule"]["id"] for d in store.find("alert")} == {"loud"}
        assert counts(store) == {"web01": 10}
        seen = {entry.rule: entry.matched for entry in ledger.by_rule(store)}
        assert seen == {"loud": 10, "quiet": 10}


def test_stages_still_get_the_hits(tmp_path: Path) -> None:
    """A correlation over a rule in shadow counts its hits: whether it alerts is its own affair."""
    taken: list[str] = []

    class Listening:
        def begin(self) -> None:
            """Nothing to read."""

        def take(self, hits: Sequence[Hit], *, replay: bool) -> Staged:  # noqa: ARG002 - the contract of a stage
            """Note the hits and pass them on."""
            taken.extend(hit.rule.id for hit in hits)
            return Staged(list(hits))

        def finish(self, watermark: int) -> Staged:  # noqa: ARG002 - the contract of a stage
            """Nothing to add."""
            return Staged([])

    with open_at(tmp_path / "store") as store:
        sweep(store, [QUIET])
        append(store, {"e1": event()})
        Sweeper(store, [QUIET], stages=[Listening()]).run()
        assert taken == ["quiet"]
        assert not list(store.find("alert"))


def test_alerts_and_sweepers_carry_the_commit(tmp_path: Path) -> None:
    """An alert says which commit of the rules raised it, and the store which one each sweeper has."""
    published = rule("loud", commit="abc123")
    with open_at(tmp_path / "store") as store:
        Sweeper(store, [published], commit="abc123").run()
        append(store, {"e1": event()})
        Sweeper(store, [published], commit="abc123").run()
        (alert,) = store.find("alert")
        assert alert.body["rule"]["commit"] == "abc123"
        assert {d.body["commit"] for d in store.find("sweeper")} == {"abc123"}
