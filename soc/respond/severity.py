"""How much a hit matters where it happened: the level of an alert raised by the machines it is about.

| what the register says | the alert is raised by |
| --- | --- |
| its system is of level 4 or 5 | one level |
| its asset is of high or critical criticality | one level |
| both | one level: the highest of them counts, they do not add up |

Levels are those of Sigma. An alert is never lowered and never rises above `critical`; one that is only
`informational` stays that. What is not in the register raises nothing. Other steps are set in soc.yml:

    detect:
      severity:
        levels: {5: 2, 4: 1}
        criticality: {critical: 2, high: 1}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from soc.respond.register import Asset

LEVELS = ("informational", "low", "medium", "high", "critical")
"""Of a rule (Sigma specification 2.1, `level`), rising."""
MAX_STEPS = 3


class Raised(NamedTuple):
    """A level as it was raised, and why."""

    level: str
    why: str


@dataclass(frozen=True, slots=True)
class Severity:
    """By how many levels an alert is raised: by level of the system, by criticality of the asset."""

    levels: Mapping[int, int] = field(default_factory=lambda: {4: 1, 5: 1})
    criticality: Mapping[str, int] = field(default_factory=lambda: {"high": 1, "critical": 1})

    def raised(self, level: str, assets: Iterable[Asset]) -> Raised | None:
        """The level that an alert of a rule with this level has on these assets; None: the same."""
        if level not in LEVELS[1:]:
            return None
        steps, why = 0, ""
        for asset in assets:
            for more, reason in self._reasons(asset):
                if more > steps:
                    steps, why = more, reason
        now = LEVELS[min(LEVELS.index(level) + steps, len(LEVELS) - 1)]
        return Raised(now, why) if now != level else None

    def _reasons(self, asset: Asset) -> Iterable[tuple[int, str]]:
        system = asset.system
        if system.level is not None:
            yield self.levels.get(system.level, 0), f"{system.name} is a system of level {system.level}"
        if asset.criticality:
            yield self.criticality.get(str(asset.criticality), 0), f"{asset.name} is {asset.criticality}"
