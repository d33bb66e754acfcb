"""Hits become alerts: which belong together, and counting each of them once."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc.detect import grouping
from soc.detect.grouping import GroupState, Hit, group_key, group_of, micros, time_text, window_of
from soc.event import timestamp
from soc.respond import ids
from tests.detect.world import START, event, rule

HOUR = 3_600_000_000


def hit(seconds: float, name: str | None = None, **fields: Any) -> Hit:
    """A hit so many seconds after the start."""
    made = event(seconds, **fields)
    return Hit(rule(), name or f"e{seconds}", made, micros(made["@timestamp"]))


def state() -> GroupState:
    """A group that knows nothing yet."""
    return GroupState("shell", {"host.name": "web01"}, HOUR)


def name_of(full: str) -> str:
    """An id for an alert."""
    return f"A-{full}"


class TestGroupOf:
    def test_entity_is_host_else_user_else_address(self) -> None:
        """Without a word of the rule, the first of host, user and address that is there makes the group."""
        whole = event(user__name="an")
        assert group_of(rule(), whole) == {"host.name": "web01"}
        del whole["host.name"]
        assert group_of(rule(), whole) == {"user.name": "an"}
        del whole["user.name"]
        assert group_of(rule(), whole) == {"source.ip": "192.0.2.7"}
        del whole["source.ip"]
        assert group_of(rule(), whole) == {}

    def test_rule_names_its_fields(self) -> None:
        """A field that the rule groups by and the event lacks counts as empty."""
        wanted = rule(attributes={"soc.group_by": ["user.name", "source.ip"]})
        assert group_of(wanted, event()) == {"user.name": "", "source.ip": "192.0.2.7"}

    def test_first_of_several_values(self) -> None:
        """Numbers and lists become text."""
        wanted = rule(attributes={"soc.group_by": ["host.ip", "destination.port"]})
        found = group_of(wanted, event(host__ip=[None, "192.0.2.1", "192.0.2.2"], destination__port=443))
        assert found == {"host.ip": "192.0.2.1", "destination.port": "443"}

    def test_values_have_a_bound(self) -> None:
        """A megabyte in a host name does not end up in a list of alerts, and two such names stay two."""
        one, two = (group_of(rule(), event(host="x" * 1_000_000 + end)) for end in "ab")
        assert len(one["host.name"]) < 1_100
        assert one != two

    def test_key_ignores_case_and_order(self) -> None:
        """WEB01 and web01 are one host; another rule is another group."""
        assert group_key("r", {"a": "X", "b": "y"}) == group_key("r", {"b": "Y", "a": "x"})
        assert group_key("r", {"a": "x"}) != group_key("q", {"a": "x"})
        assert group_key("r", {"a": "x=b"}) != group_key("r", {"a": "x", "b": ""})

    def test_window_comes_from_the_rule(self) -> None:
        """One hour by default."""
        assert window_of(rule()) == HOUR
        assert window_of(rule(attributes={"soc.window": "15m"})) == HOUR // 4


class TestTimes:
    @given(st.datetimes(timezones=st.just(START.tzinfo)))
    def test_microseconds_and_back(self, moment: Any) -> None:
        """Event time survives the way through a number, also long before 1970."""
        text = timestamp(moment)
        assert time_text(micros(text)) == text

    @pytest.mark.parametrize("odd", [None, "", "yesterday", "2026-03-02", 12])
    def test_odd_times_do_not_raise(self, odd: Any) -> None:
        """What is not a time counts as 1970."""
        assert micros(odd) == 0


class TestTake:
    def test_hits_within_a_window_are_one_alert(self) -> None:
        """The alert spans less than the window; the first hit after it opens the next."""
        group = state()
        taken = group.take([hit(0), hit(1800), hit(3599), hit(3600), hit(4000)], name_of)
        assert [b.count for b in group.bursts] == [3, 2]
        assert taken.counted == 5
        assert len(taken.opened) == 2

    def test_late_hit_extends_at_the_front(self) -> None:
        """A late event that still fits into the window belongs to the alert, whose id stays."""
        group = state()
        (first,) = group.take([hit(3000)], name_of).opened
        group.take([hit(100)], name_of)
        assert group.bursts == [first]
        assert (first.count, first.first) == (2, hit(100).time)

    def test_too_late_hit_opens_an_alert_before(self) -> None:
        """One that does not fit opens its own."""
        group = state()
        group.take([hit(7200)], name_of)
        group.take([hit(100)], name_of)
        assert [b.first for b in group.bursts] == [hit(100).time, hit(7200).time]

    def test_a_hit_counts_once(self) -> None:
        """The same hit again changes nothing, but names its alert again."""
        group = state()
        group.take([hit(0), hit(0), hit(5)], name_of)
        group.dirty = False
        again = group.take([hit(0), hit(5)], name_of)
        assert (again.counted, len(again.touched), group.dirty) == (0, 1, False)
        assert group.bursts[0].count == 2

    def test_id_is_drawn_from_rule_group_and_first_event(self) -> None:
        """Two processes that see the same first event give the alert the same hash."""
        one, two = state(), state()
        one.take([hit(0), hit(9)], name_of)
        two.take([hit(0)], name_of)
        assert one.bursts[0].full == two.bursts[0].full
        other = GroupState("shell", {"host.name": "web02"}, HOUR)
        other.take([hit(0)], name_of)
        assert other.bursts[0].full != one.bursts[0].full

    def test_first_and_last_events_are_kept(self) -> None:
        """Twenty first and five last, by the order in which they came."""
        group = state()
        group.take([hit(i) for i in range(40)], name_of)
        (burst,) = group.bursts
        assert burst.samples == [f"e{i}" for i in (*range(20), *range(35, 40))]
        assert burst.count == 40

    def test_values_of_hits_are_collected_within_a_bound(self) -> None:
        """At most five values of a field, each once."""
        group = state()
        group.take([hit(i, source__ip=f"192.0.2.{i % 9}") for i in range(30)], name_of)
        assert group.bursts[0].about["source.ip"] == [f"192.0.2.{i}" for i in range(5)]

    def test_versions_of_the_rule_are_kept(self) -> None:
        """An alert that two versions of a rule have hit names both."""
        group = state()
        group.take([hit(0)], name_of)
        group.take([hit(1)._replace(rule=rule(version="v2"))], name_of)
        assert group.bursts[0].versions == ["v1", "v2"]

    def test_memory_is_bounded_and_says_when_it_forgot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond the bound, an old hit that comes again in a replay is taken as counted, and that is said."""
        monkeypatch.setattr(grouping, "REMEMBERED", 10)
        group = state()
        group.take([hit(i) for i in range(30)], name_of)
        group.take([hit(3)], name_of, replay=True)
        assert (group.bursts[0].count, group.bursts[0].inexact) == (30, True)
        group.take([hit(31)], name_of, replay=True)
        assert group.bursts[0].count == 31, "a hit outside of what was counted is new"

    def test_alerts_listed_are_bounded(self) -> None:
        """A group that fires for weeks keeps the latest of its alerts in reach."""
        group = state()
        for i in range(80):
            group.take([hit(i * 4000)], name_of)
        assert len(group.bursts) == grouping.MAX_ALERTS
        assert group.bursts[-1].first == hit(79 * 4000).time

    def test_earlier_alerts_newest_first(self) -> None:
        """What came before an alert, for the analyst."""
        group = state()
        group.take([hit(i * 4000) for i in range(5)], name_of)
        assert [b.first for b in group.before(group.bursts[3], 2)] == [hit(8000).time, hit(4000).time]


times = st.lists(st.integers(0, 20_000), min_size=1, max_size=60, unique=True)


class TestProperties:
    @given(times, st.randoms(use_true_random=False), st.integers(1, 10))
    def test_batches_shuffled_and_repeated_count_the_same(
        self, seconds: list[int], rng: random.Random, size: int
    ) -> None:
        """Whatever the order, the cut into batches and the repetitions, each hit is counted exactly once.

        Each alert spans less than the window.
        """
        hits = [hit(s) for s in seconds]
        rng.shuffle(hits)
        batches = [hits[i : i + size] for i in range(0, len(hits), size)]
        batches += rng.choices(batches, k=len(batches))
        group = state()
        for batch in batches:
            group = GroupState.load(group.body())
            group.take(batch, name_of)
        assert sum(b.count for b in group.bursts) == len(hits)
        assert group.total == len(hits)
        for burst in group.bursts:
            assert burst.last - burst.first < HOUR

    @given(times)
    def test_one_batch_gives_the_same_alerts_in_any_order(self, seconds: list[int]) -> None:
        """Within a batch, time decides and not the order of the feed."""
        one, two = state(), state()
        one.take([hit(s) for s in seconds], name_of)
        two.take([hit(s) for s in reversed(seconds)], name_of)
        assert one.body() == two.body()

    @given(times)
    def test_document_gives_back_the_state(self, seconds: list[int]) -> None:
        """Written and read, a group is the same."""
        group = state()
        group.take([hit(s) for s in seconds], name_of)
        assert GroupState.load(group.body()).body() == group.body()


def test_hash_of_an_alert_can_be_its_id() -> None:
    """The hash is made of the letters of ids."""
    group = state()
    group.take([hit(0)], name_of)
    assert ids.normal("A", group.bursts[0].full).removeprefix("A-") == group.bursts[0].full
    assert timedelta(microseconds=HOUR) == timedelta(hours=1)
