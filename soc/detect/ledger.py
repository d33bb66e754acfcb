"""The ledger: what each version of each rule has seen, matched and could not decide.

The tally of a day is kept inside of the document with the position of a part of the feed, so that it moves
with the position or not at all; a crash counts nothing twice. Its copy for readers is a document of kind
`ledger`, one for each day, rule set and part, written when the day or the rule set changes. What is not of a
part (blind rules, how often and how long) has one of its own (`note_run`). A document of kind `ruleset` names
the versions of a rule set, one of kind `rule_version` keeps the text of a rule as it was, so that an old
alert can still be explained.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.detect.ranges import Span, grown, union
from soc.event import timestamp
from soc.store.contract import WHOLE, Store, VersionConflictError, Write

if TYPE_CHECKING:
    from soc.detect.rule import Rule

LEDGER, RULESET, RULE_VERSION = "ledger", "ruleset", "rule_version"
POSITION_PART = "position_part"
"""Kind of the documents with the position in a part of the feed (`soc.detect.places`)."""
RUN = "run"
"""Instead of a part of the feed: what belongs to none."""
MAX_NOTES = 100
MAX_RANGES = 500
MAX_TEXT = 1_000_000
"""Characters of a rule's file that are kept."""
_WRITE_AT_ONCE = 200


@dataclass(slots=True)
class Tally:
    """What one rule set has done on one day (UTC) in one part of the feed.

    `rules`: id to [matched, undecided], for rules where one of them is above 0. `late`: hits that came too
    late for a correlation, `late_by`: the same by rule. `hidden`: id of an exception to rule to [hits hidden,
    those of them that came after the expiry, time of the latest]. `ranges`: which events of its part it has
    seen (`Span` as a list). `plans`: events by the plan that was used for them.
    """

    day: str
    ruleset: str
    position: str
    events: int = 0
    sweeps: int = 0
    hits: int = 0
    undecided: int = 0
    late: int = 0
    seconds: float = 0.0
    rules: dict[str, list[int]] = field(default_factory=dict)
    blind: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    plans: dict[str, int] = field(default_factory=dict)
    hidden: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    part: str = ""
    late_by: dict[str, int] = field(default_factory=dict)
    ranges: list[list[str | int]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The id of its document."""
        return tally_id(self.day, self.ruleset, self.position, self.part)

    @classmethod
    def load(cls, body: Mapping[str, Any]) -> Tally:
        """Out of its document."""
        return cls(**{name: body[name] for name in cls.__slots__ if name in body})

    def body(self) -> dict[str, Any]:
        """As its document."""
        return {name: getattr(self, name) for name in self.__slots__}

    def copy(self) -> Tally:
        """A tally to go on with, while this one stays as it is."""
        rules = {rule: list(counts) for rule, counts in self.rules.items()}
        hidden = {e: {rule: list(seen) for rule, seen in by.items()} for e, by in self.hidden.items()}
        mutable = {
            "late_by": dict(self.late_by),
            "rules": rules,
            "blind": dict(self.blind),
            "notes": list(self.notes),
            "hidden": hidden,
            "plans": dict(self.plans),
        }
        return Tally.load({**self.body(), **mutable})

    def count(self, rule: str, *, matched: int = 0, undecided: int = 0) -> None:
        """Add to what a rule has matched and could not decide."""
        counts = self.rules.setdefault(rule, [0, 0])
        counts[0] += matched
        counts[1] += undecided
        self.hits += matched
        self.undecided += undecided

    def hide(self, exception: str, rule: str, time: str, *, late: bool) -> None:
        """Count a hit at an event time that an exception hides; `late`: it came after the expiry."""
        seen = self.hidden.setdefault(exception, {}).setdefault(rule, [0, 0, ""])
        seen[0] += 1
        seen[1] += late
        seen[2] = max(seen[2], time)

    def saw(self, span: Span) -> None:
        """Add a range of the feed; within a bound, at which the oldest are forgotten and show as gaps."""
        self.ranges = grown(self.ranges, span)
        if len(self.ranges) > MAX_RANGES:
            merged = union(Span(*one) for one in self.ranges)  # type: ignore[arg-type]  # plain data
            self.ranges = [list(one) for one in merged[-MAX_RANGES:]]

    def note(self, text: str, now: datetime) -> None:
        """Write down something out of the ordinary, within a bound."""
        self.notes = [*self.notes, f"{timestamp(now)} {text}"][-MAX_NOTES:]


def today() -> str:
    """The day (UTC) of a tally that is begun now."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def tally_id(day: str, ruleset: str, position: str, part: str) -> str:
    """The id of the document of a tally."""
    whole = f"{day}-{ruleset}-{position}"
    if part in ("", WHOLE):
        return whole
    if part == RUN:
        return f"{whole}-{RUN}"
    return f"{whole}-{hashlib.blake2b(part.encode(), digest_size=8).hexdigest()}"


@dataclass(frozen=True, slots=True)
class RuleSeen:
    """The ledger of one version of a rule. `blind` says why it could see nothing ("" when it could).

    `hidden`: hits that exceptions hid; `late`: those that came too late for a correlation.
    """

    rule: str
    version: str
    title: str
    level: str
    seen: int
    matched: int
    undecided: int
    blind: str
    first_day: str
    last_day: str
    current: bool
    hidden: int = 0
    late: int = 0


def ruleset_id(rules: Sequence[Rule]) -> str:
    """A name for exactly these versions of these rules."""
    joined = "\n".join(sorted(f"{rule.id} {rule.version}" for rule in rules))
    return hashlib.blake2b(joined.encode(), digest_size=8).hexdigest()


def publish(store: Store, rules: Sequence[Rule], ruleset: str, now: datetime) -> int:
    """Keep the text of each version that the store does not have yet, and their list; how many are new."""
    if store.read(RULESET, ruleset):
        return 0
    writes = [
        Write(RULE_VERSION, version_id(rule.id, rule.version), _version_body(rule, now), 0) for rule in rules
    ]
    new = 0
    for start in range(0, len(writes), _WRITE_AT_ONCE):
        # a conflict means that the text is kept already
        results = store.write(writes[start : start + _WRITE_AT_ONCE])
        new += sum(not isinstance(result, VersionConflictError) for result in results)
    listed = {rule.id: rule.version for rule in rules}
    store.write([Write(RULESET, ruleset, {"rules": listed, "since": timestamp(now)}, 0)])
    return new


def version_id(rule: str, version: str) -> str:
    """The id of the document that keeps a version of a rule."""
    return f"{rule}:{version}"


def _version_body(rule: Rule, now: datetime) -> dict[str, Any]:
    try:
        text = Path(rule.path).read_text(encoding="utf-8", errors="replace")[:MAX_TEXT]
    except OSError:
        text = ""
    return {
        "rule": rule.id,
        "version": rule.version,
        "title": rule.title,
        "level": rule.level,
        "path": rule.path,
        "line": rule.line,
        "text": text,
        "since": timestamp(now),
    }


def flush(store: Store, tally: Tally) -> None:
    """Write the readers' copy of a tally. Whoever comes later has the same or more; see `Tally`."""
    for _ in range(10):
        there = store.read(LEDGER, tally.id)
        if there and there.body["events"] > tally.events:
            return
        body = tally.body()
        if there and there.body == body:
            return
        (result,) = store.write([Write(LEDGER, tally.id, body, there.version if there else 0)])
        if not isinstance(result, VersionConflictError):
            return


def note_run(store: Store, run: Tally, *, day: str, ruleset: str, position: str) -> None:
    """Add a run of a sweep: what it counted outside of any part, its notes, and which rules are blind now."""
    id_ = tally_id(day, ruleset, position, RUN)
    for _ in range(10):
        there = store.read(LEDGER, id_)
        tally = Tally.load(there.body) if there else Tally(day, ruleset, position, part=RUN)
        tally.sweeps += 1
        tally.seconds = round(tally.seconds + run.seconds, 3)
        tally.blind = run.blind
        tally.notes = [*tally.notes, *run.notes][-MAX_NOTES:]
        for rule, (matched, undecided) in run.rules.items():
            tally.count(rule, matched=matched, undecided=undecided)
        tally.late += run.late
        for rule, late in run.late_by.items():
            tally.late_by[rule] = tally.late_by.get(rule, 0) + late
        (result,) = store.write([Write(LEDGER, id_, tally.body(), there.version if there else 0)])
        if not isinstance(result, VersionConflictError):
            return


def entries(store: Store) -> Iterator[Tally]:
    """The tallies of all days, oldest first; where sweeps stand now, as exact as their positions."""
    now: dict[str, Tally] = {}
    for document in store.find(POSITION_PART):
        if document.body["ledger"]:
            tally = Tally.load(document.body["ledger"])
            now[tally.id] = tally
    kept = {document.id: Tally.load(document.body) for document in store.find(LEDGER)}
    for id_ in sorted({*now, *kept}):
        yield max((t for t in (now.get(id_), kept.get(id_)) if t), key=lambda t: t.events)


def by_rule(store: Store) -> list[RuleSeen]:
    """The ledger of every version of every rule, by title; the latest version of a rule is `current`."""
    listed: dict[str, dict[str, str]] = {}
    facts: dict[tuple[str, str], list[Any]] = {}
    latest: dict[str, tuple[str, str]] = {}
    for tally in entries(store):
        if tally.ruleset not in listed:
            document = store.read(RULESET, tally.ruleset)
            listed[tally.ruleset] = document.body["rules"] if document else {}
        hidden: Counter[str] = Counter()
        for by_exception in tally.hidden.values():
            hidden.update({rule: counts[0] for rule, counts in by_exception.items()})
        for rule, version in listed[tally.ruleset].items():
            known = facts.setdefault((rule, version), [0, 0, 0, "", tally.day, tally.day, 0, 0])
            matched, undecided = tally.rules.get(rule, (0, 0))
            known[6] += hidden.get(rule, 0)
            known[7] += tally.late_by.get(rule, 0)
            known[0] += tally.events
            known[1] += matched
            known[2] += undecided
            if tally.part in ("", RUN):
                known[3] = tally.blind.get(rule, "")
            known[4], known[5] = min(known[4], tally.day), max(known[5], tally.day)
            latest[rule] = max(latest.get(rule, ("", "")), (tally.day, version))
    out = []
    for (rule, version), (seen, matched, undecided, blind, first, last, hidden_, late) in facts.items():
        document = store.read(RULE_VERSION, version_id(rule, version))
        about = document.body if document else {}
        out.append(
            RuleSeen(
                rule=rule,
                version=version,
                title=about.get("title", rule),
                level=about.get("level", ""),
                seen=seen,
                matched=matched,
                undecided=undecided,
                blind=blind,
                first_day=first,
                last_day=last,
                current=latest[rule][1] == version,
                hidden=hidden_,
                late=late,
            )
        )
    return sorted(out, key=lambda r: (r.title.lower(), r.first_day, r.version))
