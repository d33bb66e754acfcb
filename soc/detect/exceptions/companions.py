"""Companion rules: they find, in the same pass as the rules, what exceptions hide, so that it is counted.

For each rule and each of its exceptions there is one companion: the rule without its exceptions, and what the
exception selects before its expiry. Its hits go into the ledger as hidden, and never become alerts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from soc.detect.exceptions.model import bare
from soc.detect.predicate import And, Verdict

if TYPE_CHECKING:
    from soc.detect.ledger import Tally
    from soc.detect.matcher import Match
    from soc.detect.rule import Rule


def companions(rules: Iterable[Rule]) -> list[Rule]:
    """One rule for each exception of each rule, with the rule's id and `hides` naming the exception."""
    out = []
    for rule in rules:
        if not rule.exceptions or not rule.runnable:
            continue
        whole = bare(rule)
        parts = whole.parts if isinstance(whole, And) else (whole,)
        for applied in rule.exceptions:
            hidden = applied.hides.parts if isinstance(applied.hides, And) else (applied.hides,)
            out.append(replace(rule, predicate=And((*parts, *hidden)), exceptions=(), hides=applied.id))
    return out


class Hidden:
    """Counts what companions find. `expires`: exception and rule to the expiry as event time."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._expires = {
            (applied.id, rule.id): applied.expires for rule in rules for applied in rule.exceptions
        }

    def count(self, found: Match, event: Mapping[str, Any], tally: Tally) -> bool:
        """Count the match of a companion on an event; whether it hides a hit for certain."""
        if found.verdict is not Verdict.TRUE:
            return False  # the rule itself is undecided then, and counted so
        rule = found.rule
        expires = self._expires.get((rule.hides, rule.id), "")
        # an event that came after the expiry and says that it happened before: late, or its clock is wrong
        late = bool(expires) and str(event.get("event.ingested") or "") >= expires
        tally.hide(rule.hides, rule.id, str(event.get("@timestamp") or ""), late=late)
        return True
