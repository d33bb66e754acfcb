"""The extensions that there are, each with its parameters, defaults and what it asks of an event.

Spans are in microseconds. Field names are those of the store (ECS), as with `soc.group_by`. An event that
lacks a field which the extension cannot do without is no hit of the rule: `requirement` is part of the
predicate, so that what a rule cannot see is told in the same way as for any other field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from soc.detect.beyond import schema
from soc.detect.beyond.schema import Complain, Param, Schema
from soc.detect.predicate import And, Op, Or, Predicate, Test

DAY = 86_400_000_000
HOUR = 3_600_000_000
MINUTE = 60_000_000
URL = "url.full"
"""The field of whole URLs, put together from its parts where an event has only these."""


@dataclass(frozen=True, slots=True)
class NewTerm:
    """`soc.new_term`: a hit counts when the combination of values of `fields` was not seen within `within`.

    `learn`: how long after the rule's first hit, in event time, everything is only learnt. `most`:
    combinations remembered; beyond it the oldest are forgotten.
    """

    KEY: ClassVar[str] = "soc.new_term"
    SCHEMA: ClassVar[Schema] = {
        "fields": Param(schema.names, required=True),
        "within": Param(schema.span),
        "learn": Param(schema.span),
        "most": Param(schema.whole(100, 1_000_000)),
    }
    fields: tuple[str, ...]
    within: int = 30 * DAY
    learn: int = 7 * DAY
    most: int = 100_000

    @property
    def requirement(self) -> Predicate:
        """Every field has a value."""
        return _all(self.fields)

    @property
    def group_by(self) -> tuple[str, ...]:
        """Nothing: the entity of the event, as for any rule."""
        return ()


@dataclass(frozen=True, slots=True)
class Indicator:
    """`soc.indicator`: a hit counts when a value of `fields` is an indicator that is valid at the event's
    time.

    `types`: only indicators of these types (default: all). `confidence`: at least this much, 0 to 100; an
    indicator that names none counts as 0. `max_age`: only those that a source has named, or named again,
    within this time before the event (default: no limit).
    """

    KEY: ClassVar[str] = "soc.indicator"
    TYPES: ClassVar[tuple[str, ...]] = ("ipv4-addr", "ipv6-addr", "domain-name", "url", "file", "email-addr")
    SCHEMA: ClassVar[Schema] = {
        "fields": Param(schema.names, required=True),
        "types": Param(schema.choices(*TYPES)),
        "confidence": Param(schema.whole(0, 100)),
        "max_age": Param(schema.span),
    }
    fields: tuple[str, ...]
    types: tuple[str, ...] = TYPES
    confidence: int = 0
    max_age: int = 0

    @property
    def requirement(self) -> Predicate:
        """One of the fields has a value; a URL may also be there in parts."""
        parts = ("url.domain",) if URL in self.fields else ()
        tests = tuple(Test(name, Op.EXISTS) for name in dict.fromkeys((*self.fields, *parts)))
        return tests[0] if len(tests) == 1 else Or(tests)

    @property
    def group_by(self) -> tuple[str, ...]:
        """Nothing: the entity of the event, as for any rule."""
        return ()


@dataclass(frozen=True, slots=True)
class Silence:
    """`soc.silence`: nothing that the detection matches has come for longer than given, or than is usual.

    `limit` (`for`): how long, 0 with `learned`. `learned`: twice the 99.9th percentile of the gaps there
    were, in hours of the week in which something usually comes. `per`: fields of which each combination of
    values is a source of its own. `learn`: with `learned`, how long a source must have been known. `forget`:
    a source that was silent for longer is no longer watched.
    """

    KEY: ClassVar[str] = "soc.silence"
    SCHEMA: ClassVar[Schema] = {
        "for": Param(schema.span, to="limit"),
        "learned": Param(schema.flag),
        "per": Param(schema.names),
        "learn": Param(schema.span),
        "forget": Param(schema.span),
        "most": Param(schema.whole(1, 10_000)),
    }
    limit: int = 0
    learned: bool = False
    per: tuple[str, ...] = ()
    learn: int = 7 * DAY
    forget: int = 30 * DAY
    most: int = 2_000

    @property
    def wrong(self) -> str:
        """What is wrong with the parameters together."""
        if bool(self.limit) is self.learned:
            return "either `for` or `learned: true` is needed"
        return "" if self.forget > self.limit else "`forget` must be longer than `for`"

    @property
    def requirement(self) -> Predicate:
        """Every field of `per` has a value."""
        return _all(self.per)

    @property
    def group_by(self) -> tuple[str, ...]:
        """The source."""
        return self.per


@dataclass(frozen=True, slots=True)
class Hourly:
    """What spikes and flat lines have in common: an hour beside the same hour of earlier weeks.

    `weeks`: how many of them are looked at; two must be known, or the one that is asked for. `per`: fields of
    which each combination of values is counted alone. `sum`: a field whose numbers are added up instead of
    counting hits. `most`: combinations that are counted.
    """

    PARAMS: ClassVar[Schema] = {
        "weeks": Param(schema.whole(1, 8)),
        "at_least": Param(schema.whole(1)),
        "per": Param(schema.names),
        "sum": Param(schema.name),
        "most": Param(schema.whole(1, 2_000)),
    }
    weeks: int = 4
    at_least: int = 50
    per: tuple[str, ...] = ()
    sum: str = ""
    most: int = 400

    @property
    def requirement(self) -> Predicate:
        """Every field of `per` has a value, and what is added up is there."""
        return _all((*self.per, *([self.sum] if self.sum else ())))

    @property
    def group_by(self) -> tuple[str, ...]:
        """What is counted alone."""
        return self.per


@dataclass(frozen=True, slots=True)
class Spike(Hourly):
    """`soc.spike`: more hits in an hour than `factor` times the median of the same hour of earlier weeks.

    `at_least`: fewer hits than that are no spike.
    """

    KEY: ClassVar[str] = "soc.spike"
    SCHEMA: ClassVar[Schema] = {**Hourly.PARAMS, "factor": Param(schema.number(1, 1000))}
    factor: float = 3.0

    def odd(self, count: float, median: float) -> bool:
        """Whether so many in an hour stand out."""
        return count >= self.at_least and count > self.factor * median


@dataclass(frozen=True, slots=True)
class Flat(Hourly):
    """`soc.flat`: fewer hits in an hour than `share` of the median of the same hour of earlier weeks.

    `at_least`: a median below that says nothing.
    """

    KEY: ClassVar[str] = "soc.flat"
    SCHEMA: ClassVar[Schema] = {**Hourly.PARAMS, "share": Param(schema.number(0, 1))}
    share: float = 0.1

    def odd(self, count: float, median: float) -> bool:
        """Whether so few in an hour stand out."""
        return median >= self.at_least and count < self.share * median


@dataclass(frozen=True, slots=True)
class Rare:
    """`soc.rare`: the value of `field` is in few of the hits of the detection.

    `share`: in less than this part of them; `count`: in no more than so many. `over`: of how long, in whole
    days (UTC). `at_least`: before so many hits were seen nothing is rare. `per`: fields of which each
    combination of values is a world of its own. `most`: values remembered of each.
    """

    KEY: ClassVar[str] = "soc.rare"
    SCHEMA: ClassVar[Schema] = {
        "field": Param(schema.name, required=True),
        "per": Param(schema.names),
        "share": Param(schema.number(0, 0.5)),
        "count": Param(schema.whole(1)),
        "over": Param(schema.span),
        "at_least": Param(schema.whole(1)),
        "most": Param(schema.whole(100, 20_000)),
    }
    field: str
    per: tuple[str, ...] = ()
    share: float = 0.0
    count: int = 0
    over: int = 14 * DAY
    at_least: int = 1_000
    most: int = 5_000

    @property
    def wrong(self) -> str:
        """What is wrong with the parameters together."""
        if bool(self.share) is bool(self.count):
            return "either `share` or `count` is needed"
        return "" if self.over % DAY == 0 else "`over` must be whole days"

    @property
    def requirement(self) -> Predicate:
        """The field has a value, and those of `per`."""
        return _all((self.field, *self.per))

    @property
    def group_by(self) -> tuple[str, ...]:
        """Nothing: the entity of the event, as for any rule."""
        return ()


def _all(fields: tuple[str, ...]) -> Predicate:
    return And(tuple(Test(name, Op.EXISTS) for name in fields))


Extension = NewTerm | Indicator | Silence | Spike | Flat | Rare
_ALL = (NewTerm, Rare, Spike, Flat, Silence, Indicator)
KINDS: Mapping[str, Callable[..., Extension]] = {kind.KEY: kind for kind in _ALL}
"""Name of the setting to its extension."""

_SCHEMAS: Mapping[str, Schema] = {kind.KEY: kind.SCHEMA for kind in _ALL}


def check(attributes: Mapping[Any, Any], complain: Complain, *, single: bool = True) -> None:
    """Complain of everything that is wrong with the extensions among the attributes of a document.

    `single`: whether it is a rule with a detection, which alone can have one.
    """
    there = [key for key in attributes if key in KINDS]
    for key in there:
        if not single:
            complain(f"{key} is for rules with a `detection`; correlations and filters cannot have it", key)
        _read(key, attributes[key], complain)
    for key in there[1:]:
        complain(f"a rule has one extension, and {there[0]} stands here already; write a second rule", key)


def _read(key: str, value: Any, complain: Complain) -> Extension | None:
    def below(message: str, *at: str) -> None:
        complain(f"{key}: {message}", key, *at)

    params = schema.read(_SCHEMAS[key], value, below)
    if params is None:
        return None
    made = KINDS[key](**params)
    wrong = getattr(made, "wrong", "")
    if wrong:
        below(wrong)
        return None
    return made


def unusable(attributes: Mapping[str, Any]) -> str:
    """Why a rule with these attributes must not run as if it were an ordinary one; "" when nothing is wrong.

    Without its extension it would fire on everything that the extension was to choose from.
    """
    for key, value in attributes.items():
        if key in KINDS:
            if _read(key, value, lambda *_: None) is None:
                return f"its setting {key} is malformed"
        elif key.startswith("soc.") and isinstance(value, dict):
            return f"its setting {key} is not known"
    return ""


def extension_of(attributes: Mapping[str, Any]) -> Extension | None:
    """The extension that a rule's attributes ask for; None when there is none, or it is malformed."""
    key = next((key for key in KINDS if key in attributes), None)
    return None if key is None else _read(key, attributes[key], lambda *_: None)
