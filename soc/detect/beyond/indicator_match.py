"""Indicator match: hits in which a value is an indicator that is valid at the event's time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from soc.detect.beyond import extensions
from soc.detect.beyond.indicator_set import Row, validity
from soc.detect.beyond.indicators import Indicators, shown_network
from soc.detect.beyond.stage import Tell, told
from soc.detect.grouping import Hit
from soc.detect.text import canonical
from soc.event import Event, values_of

MOST = 5
"""Indicators that one hit tells of: the most certain."""

Pair = tuple[Row, str]


class IndicatorMatch:
    """The evaluator of `soc.indicator` for one rule."""

    def __init__(self, indicators: Indicators, wanted: extensions.Indicator) -> None:
        self.wanted = wanted
        self._indicators = indicators
        self._types = frozenset(wanted.types)

    def begin(self) -> None:
        """See `Evaluator`. The indicators themselves are read anew by the stage."""

    def take(self, hits: Sequence[Hit], *, replay: bool) -> list[Hit]:  # noqa: ARG002 - the contract; nothing is kept
        """See `Evaluator`."""
        plan = [(name, self._indicators.memo(name)) for name in self.wanted.fields]
        out = []
        for hit in hits:
            get = hit.event.get
            for name, memo in plan:
                value = get(name)
                if value is None:
                    value = composed(hit.event) if name == extensions.URL else None
                    if value is None:
                        continue
                try:
                    found = memo[value]
                except TypeError:  # a list is looked up by its elements
                    found = tuple(pair for v in value for pair in memo[v])
                if found and (valid := [(name, pair) for pair in found if self._counts(pair[0], hit.time)]):
                    out.append(self._told(hit, valid))
                    break
        return out

    def finish(self, watermark: int, tell: Tell) -> int:  # noqa: ARG002 - the contract; nothing is decided by silence
        """See `Evaluator`."""
        return 0

    def notes(self) -> list[str]:
        """See `Evaluator`."""
        return []

    def _counts(self, row: Row, time: int) -> bool:
        info = row.info
        return (
            info.type.partition("/")[0] in self._types
            and info.confidence >= self.wanted.confidence
            and validity(row.since, row.until, time // 1_000_000) == "valid"
            and not (self.wanted.max_age and row.stated + self.wanted.max_age < time)
        )

    def _told(self, hit: Hit, found: Sequence[tuple[str, Pair]]) -> Hit:
        best = sorted(found, key=lambda f: (-f[1][0].info.confidence, -f[1][0].stated, f[1][0].event))[:MOST]
        said = [dict(self._said(hit, name, *pair)) for name, pair in best]
        more: dict[str, Any] = {}
        for key in dict.fromkeys(k for one in said for k in one if k != "text"):
            distinct = list(dict.fromkeys(one[key] for one in said if one.get(key) not in (None, "")))
            if distinct:
                more[f"threat.enrichments.{key}"] = distinct[0] if len(distinct) == 1 else distinct
        return told(hit, "; ".join(dict.fromkeys(one["text"] for one in said)), more)

    def _said(self, hit: Hit, field: str, row: Row, about: str) -> Iterator[tuple[str, Any]]:
        """What the hit says of one indicator: fields below `threat.enrichments`, and `text`."""
        info = row.info
        details = self._indicators.details(row)

        def first(name: str) -> str:
            return next((canonical(v) for v in values_of(details, name)), "")

        indicator = shown_network(row).removesuffix("/32") or about
        yield "matched.field", field
        seen = values_of(hit.event, field) or [composed(hit.event) or ""]
        yield "matched.atomic", ", ".join(canonical(v) for v in seen)[:1000]
        yield "matched.id", row.event
        yield "matched.type", "indicator_match_rule"
        yield "indicator.name", indicator
        yield "indicator.type", info.type.partition("/")[0]
        yield "indicator.provider", info.provider or info.source
        yield "indicator.marking.tlp", info.tlp
        yield "indicator.confidence", info.confidence
        since = first("threat.indicator.first_seen")
        description = first("threat.indicator.description")
        yield "indicator.first_seen", since
        yield "indicator.description", description
        yield "indicator.reference", first("threat.indicator.reference")
        facts = [
            f"TLP:{info.tlp}" if info.tlp else "",
            f"confidence {info.confidence}" if info.confidence else "",
            f"first seen {since[:10]}" if since else "",
        ]
        parts = [f"{field}: {indicator} is an indicator of {info.provider or info.source}", description]
        yield "text", ", ".join(part for part in [*parts, *facts] if part)


def composed(event: Event) -> str | None:
    """The URL that an event was about, from its parts: logs of proxies and sensors seldom have it whole."""
    name = event.get("url.domain")
    path = event.get("url.path") or event.get("url.original")
    if not isinstance(name, str) or not isinstance(path, str):
        return None
    if "://" in path:
        return path
    port = event.get("url.port") or event.get("destination.port")
    scheme = event.get("url.scheme") or ("https" if port == 443 else "http")
    query = event.get("url.query")
    if not path.startswith("/"):
        path = f"/{path}"
    shown = "" if port is None or ":" in name else f":{port}"
    return f"{scheme}://{name}{shown}{path}" + (f"?{query}" if query and "?" not in path else "")
