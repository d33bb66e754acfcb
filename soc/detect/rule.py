"""A compiled rule: what it says about itself, what it means, and how its alerts are grouped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from soc.detect.predicate import NOTHING, Predicate
from soc.errors import Place

if TYPE_CHECKING:
    from soc.detect.exceptions.model import Applied

if TYPE_CHECKING:
    from soc.detect.correlate.definition import Definition

LEVELS = ("informational", "low", "medium", "high", "critical")
"""Severities of Sigma, from the lowest to the highest."""

DEFAULT_LEVEL = "medium"
"""The level of a rule that names none."""

MODES = ("alert", "shadow")
"""What becomes of a rule's hits: alerts, or (`shadow`) a count in the ledger alone."""

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str) -> timedelta:
    """The span that `30s`, `15m`, `1h`, `7d` or `2w` names. Raises ValueError for other text."""
    found = _DURATION.match(text)
    if not found:
        raise ValueError(f"{text!r} is not a time span such as 15m, 1h or 7d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


@dataclass(frozen=True, slots=True)
class Logsource:
    """What a rule wants to look at, in Sigma's words; an empty text means: not stated."""

    category: str = ""
    product: str = ""
    service: str = ""

    def __str__(self) -> str:
        parts = [f"{name} {value}" for name, value in self.stated.items()]
        return ", ".join(parts) or "anything"

    @property
    def stated(self) -> dict[str, str]:
        """The parts that are stated: name to value."""
        pairs = (("product", self.product), ("category", self.category), ("service", self.service))
        return {name: value for name, value in pairs if value}


def _extensions() -> Mapping[str, Any]:
    from soc.detect.beyond.extensions import KINDS  # it needs `duration` from here

    return KINDS


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of Sigma, compiled.

    `predicate` is the whole meaning: log source and detection together. `source` is the log source alone.
    `fields` are the names, as the store has them, that the detection reads. `version` changes with the
    text, the field mapping, the log source and the filters that apply. `blind` says why no event here can
    reach the rule ("" when one can); `undecidable` says why its condition cannot be evaluated ("" when it
    can; its predicate is then `NOTHING`). `correlation` is the section of a correlation rule as written, else
    None; `definition` is what it means, with the rules that it refers to (None: it cannot be evaluated).
    `attributes` holds the rule's own `soc.*` settings. `exceptions` are the last parts of the predicate
    (`soc.detect.exceptions`); `hides` is set on a companion, which counts what that exception hides.

    `origin` is whose rule it is: `own`, `shipped`, or the name of an imported set. `related` are the ids that
    it names, each with its kind. `off` says why it does not run ("" when it does), `mode` is one of `MODES`,
    `decided` tells for a value that a file changed which one (`level`, `mode`, `state` …: file and line).
    `commit` is the commit of the published set that it came with ("": from files).
    """

    id: str
    title: str
    level: str = DEFAULT_LEVEL
    status: str = ""
    description: str = ""
    author: str = ""
    date: str = ""
    modified: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    falsepositives: tuple[str, ...] = ()
    logsource: Logsource = Logsource()
    path: str = ""
    line: int = 0
    predicate: Predicate = NOTHING
    source: Predicate = NOTHING
    fields: tuple[str, ...] = ()
    version: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    correlation: Mapping[str, Any] | None = None
    definition: Definition | None = None
    filters: tuple[str, ...] = ()
    blind: str = ""
    undecidable: str = ""
    exceptions: tuple[Applied, ...] = ()
    hides: str = ""
    origin: str = "own"
    related: tuple[tuple[str, str], ...] = ()
    off: str = ""
    mode: str = "alert"
    decided: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""

    @property
    def kind(self) -> str:
        """`correlation` or `detection`."""
        return "detection" if self.correlation is None else "correlation"

    @property
    def runnable(self) -> bool:
        """Whether the matcher is to evaluate the rule on single events."""
        return self.correlation is None and not self.undecidable and not self.off

    @property
    def place(self) -> Place:
        """Where the rule stands."""
        return Place(self.path, self.line)

    @property
    def severity(self) -> int:
        """The level as a number, 0 (informational) to 4 (critical)."""
        return LEVELS.index(self.level)

    @property
    def playbooks(self) -> tuple[str, ...]:
        """Names of the playbooks that answer this rule's alerts (`soc.playbooks`)."""
        return tuple(self.attributes.get("soc.playbooks", ()))

    @property
    def group_by(self) -> tuple[str, ...]:
        """Fields that make one alert of hits: the `group-by` of a correlation; `soc.group_by`, else what the
        extension counts by; empty: host, else user, else address."""
        if self.definition is not None:
            return self.definition.names
        stated = tuple(self.attributes.get("soc.group_by", ()))
        return stated if stated or not self.beyond else self._extension.group_by

    @property
    def beyond(self) -> str:
        """The extension that decides what of the rule's hits counts, such as `soc.new_term`; "" for none."""
        return next((key for key in self.attributes if key in _extensions()), "")

    @property
    def _extension(self) -> Any:
        from soc.detect.beyond.extensions import extension_of

        return extension_of(self.attributes)

    @property
    def window(self) -> timedelta:
        """How long the hits of one alert may lie apart, in event time (`soc.window`); one hour by default."""
        return duration(str(self.attributes.get("soc.window", "1h")))
