"""Correlations over files: hits pass through, bursts come at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soc.detect.correlate.offline import Offline
from soc.detect.rule import Rule
from soc.detect.scan import Hit
from tests.detect.correlate.test_stage import BASE, GOOD, MANY, correlation, loaded, signed_in


def hit(rule: Rule, record: int, seconds: float, **more: Any) -> Hit:
    """A hit in a file."""
    return Hit(rule, "auth.log", record, signed_in(seconds, **more))


def test_bursts_come_after_the_hits_that_stand_for_themselves(tmp_path: Path) -> None:
    """Hits of a rule that is there for a correlation are not printed; one object tells of the burst."""
    base, good, many = loaded(tmp_path, BASE, GOOD, correlation(MANY, level="high"))
    offline = Offline([base, good, many])
    hits = [hit(base, 9 - n, 60 * n) for n in range(4)] + [hit(good, 20, 30, outcome="success")]
    assert [h.record for h in offline.through(hits)] == [20]
    (one,) = [found.row() for found in offline.bursts(None)]
    assert one["rule"] == {"id": many.id, "title": many.title, "level": "high"}
    assert one["source"] == {"path": "auth.log", "record": 9}
    assert one["@timestamp"] == one["correlation"]["first"] == "2026-03-02T07:00:00.000000Z"
    assert one["correlation"]["group"] == {"source.ip": "192.0.2.7"}
    assert [event["record"] for event in one["correlation"]["events"]] == [9, 8, 7, 6]
    assert one["correlation"]["value"] == 4


def test_one_event_of_two_rules_is_one_event(tmp_path: Path) -> None:
    """Two records with the same words are two events; a record that two rules fire on is one."""
    any_ = BASE.replace("0001", "0003").replace("failed", "any").replace("failure", "'*'")
    body = MANY.replace("[failed]", "[failed, any]")
    base, other, many = loaded(tmp_path, BASE, any_, correlation(body))
    offline = Offline([base, other, many])
    twice = [hit(base, 1, 0), hit(other, 1, 0), hit(base, 2, 0), hit(other, 2, 0)]
    assert not list(offline.through(twice))
    assert not list(offline.bursts(None))
    assert not list(offline.through([hit(base, 3, 5)]))
    (one,) = offline.bursts(None)
    assert one.raised.count == 3


def test_correlations_of_correlations_and_rules_that_were_left_out(tmp_path: Path) -> None:
    """Rules that only a correlation needs are taken along, whatever was selected."""
    outer = "type: temporal_ordered\nrules: [many, good]\ngroup-by: [source.ip]\ntimespan: 1h"
    base, good, many, chain = loaded(
        tmp_path, BASE, GOOD, correlation(MANY, 8, name="many"), correlation(outer)
    )
    offline = Offline([chain])
    assert {rule.id for rule in offline.rules} == {base.id, good.id, many.id, chain.id}
    hits = [hit(base, n, 60 * n) for n in range(4)] + [hit(good, 20, 600, outcome="success")]
    assert not list(offline.through(hits))
    assert [found.rule.id for found in offline.bursts(None)] == [chain.id]


def test_silence_until_the_end_of_the_input(tmp_path: Path) -> None:
    """The present is the time of the last event of all."""
    body = "type: event_count\nrules: [good]\ngroup-by: [host.name]\ntimespan: 1h\ncondition: {eq: 0}"
    good, quiet = loaded(tmp_path, GOOD, correlation(body))
    for newest, expected in (("2026-03-02T07:59:00Z", 0), ("2026-03-02T08:01:00Z", 1)):
        offline = Offline([good, quiet])
        assert not list(offline.through([hit(good, 1, 0, outcome="success")]))
        assert len(list(offline.bursts(newest))) == expected
