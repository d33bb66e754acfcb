"""All rules on one event, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from soc.detect.predicate import Verdict, evaluate
from soc.detect.rule import Rule


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that is true of an event, or whose verdict is undecided."""

    rule: Rule
    verdict: Verdict


class Matcher:
    """Decides every rule on an event; agrees with `predicate.evaluate`."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = [rule for rule in rules if rule.runnable]

    def match(self, event: Mapping[str, Any]) -> list[Match]:
        """The rules that are true of the event or undecided, in the order of the rules."""
        out = []
        for rule in self.rules:
            verdict = evaluate(rule.predicate, event)
            if verdict is not Verdict.FALSE:
                out.append(Match(rule, verdict))
        return out
