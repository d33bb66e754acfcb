"""What may be wrong with an exception that could be saved: it hides nothing, everything, or other things."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from soc import ecs
from soc.detect.exceptions.model import SHORT, Applied, bare
from soc.detect.logic import never
from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, tests
from soc.event import moment, timestamp
from soc.hints import like

if TYPE_CHECKING:
    from soc.detect.exceptions.draft import Draft
    from soc.detect.exceptions.review import Review
    from soc.detect.rule import Rule
    from soc.respond.alerts import AlertView

EVERYWHERE = frozenset({"@timestamp", "soc.layer"})
"""Fields that every event in a store has."""
_VALUED = frozenset(Op) - {Op.NULL}


def holds(predicate: Predicate, given: Collection[Predicate]) -> bool | None:
    """Whether a predicate is true (or false) of every event on which all of `given` are; None: it depends.

    Only what is plain is found: a test that is given, a field that is there because a given test reads it.
    """
    if predicate in given:
        return True
    if isinstance(predicate, Not):
        inner = holds(predicate.part, given)
        return None if inner is None else not inner
    if isinstance(predicate, Test):
        return _test_holds(predicate, given)
    found = [holds(part, given) for part in predicate.parts]
    settled = isinstance(predicate, Or)
    if settled in found:
        return settled
    return None if None in found else not settled


def _test_holds(test: Test, given: Collection[Predicate]) -> bool | None:
    if test.op not in (Op.EXISTS, Op.NULL) or test.field is None:
        return None
    there = test.field in EVERYWHERE or any(
        isinstance(part, Test) and part.field == test.field and part.op in _VALUED for part in given
    )
    return (test.op is Op.EXISTS) if there else None


def hides_everything(rule: Rule, applied: Applied) -> bool:
    """Whether an exception hides each hit of its rule before its expiry, whatever the event."""
    before = _before_expiry(applied)
    whole = bare(rule)
    given = whole.parts if isinstance(whole, And) else (whole,)
    hides = before[0] if len(before) == 1 else And(tuple(before))
    return holds(hides, given) is True or never(And((*given, Not(hides))))


def _before_expiry(applied: Applied) -> list[Predicate]:
    """What an exception hides without its expiry: all of these must hold."""
    parts = applied.hides.parts if isinstance(applied.hides, And) else (applied.hides,)
    return [part for part in parts if not _is_expiry(part)]


def _is_expiry(predicate: Predicate) -> bool:
    return (
        isinstance(predicate, Not)
        and isinstance(predicate.part, Test)
        and (predicate.part.field, predicate.part.op) == ("@timestamp", Op.GTE)
    )


def doubts(draft: Draft, reviews: Sequence[Review], *, alert: AlertView | None = None) -> list[str]:
    """Sentences for whoever is about to save the exception. `alert`: the one that it is made from."""
    found = [*_of_names(draft), *_of_values(draft), *_of_others(draft), *_of_hits(draft, reviews)]
    return [*found, *_of_alert(reviews, alert)] if alert else found


def _of_others(draft: Draft) -> Iterator[str]:
    """That an exception which has not expired does the same to one of the rules."""
    now = datetime.now(UTC)
    for rule in draft.rules:
        wanted = _before_expiry(draft.applied[rule.id])
        for other in rule.exceptions:
            if _before_expiry(other) == wanted and (not other.expires or moment(other.expires) > now):
                until = f" until {other.expires[:16]}Z" if other.expires else ""
                short = other.id[:SHORT]
                yield (
                    f"the exception {short} hides the same hits of {rule.title} already{until}; to let it "
                    f'hold for longer: soc exception extend {short} --expires 30d --reason "…"'
                )


def _of_names(draft: Draft) -> Iterator[str]:
    names = {
        test.field: None for applied in draft.applied.values() for test in tests(applied.hides) if test.field
    }
    for name in names:
        if not ecs.is_known(name):
            near = like(name, ecs.fields())
            yield f"no event may ever have the field {name}: ECS does not know it{near}"


def _of_values(draft: Draft) -> Iterator[str]:
    for text in draft.where:
        name, found, value = text.partition("=")
        if found and ":" not in name and "|" not in name and set(value) & set("*?"):
            yield f"the * and ? of {text!r} stand for themselves; for a pattern write a query, {name}:…"
        if found and (" and " in value or " or " in value) and "=" in value:
            yield f"{text!r} is one value of {name}; give each condition a --where of its own"


def _of_hits(draft: Draft, reviews: Sequence[Review]) -> Iterator[str]:
    for one in reviews:
        rule = one.rule
        if hides_everything(rule, draft.applied[rule.id]):
            yield f"it hides every hit of {rule.title}; to switch a rule off, use selection.yml"
        elif one.hits > 1 and one.hidden == one.hits:
            yield f"it hides all {one.hits:,} hits of {rule.title}"
        if rule.blind:
            yield f"{rule.title} cannot see anything here: {rule.blind}"
        missing = [cover for cover in one.covers if cover.missing]
        if missing:
            hits = sum(cover.missing for cover in missing)
            yield (
                f"{hits:,} hits of {len(missing)} alerts are no longer in the store: whether it would have "
                "hidden them is not known"
            )
    if not any(one.hidden or one.touched for one in reviews):
        yield "it hides nothing of that time"


def _of_alert(reviews: Sequence[Review], alert: AlertView) -> Iterator[str]:
    cover = next((c for one in reviews for c in one.covers if c.view.id == alert.id), None)
    if cover and not cover.hidden:
        yield f"it hides no hit of {alert.id}, which it is made from"
    if reviews and alert.body["last"] < timestamp(reviews[0].since):
        days = (datetime.now(UTC) - moment(alert.body["first"])).days + 1
        yield f"the hits of {alert.id} are older than --since, so none is counted: --since {days}d has them"
