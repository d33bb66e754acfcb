"""Where local files name rules by id or name: overrides, selection, filters and exceptions, correlations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from soc import yamlio
from soc.detect.releases.layers import layers
from soc.detect.releases.overrides import load_overrides
from soc.detect.releases.selection import load_selection
from soc.errors import ContentError, Place


@dataclass(frozen=True, slots=True)
class Reference:
    """A place that names a rule; `what` says in a few words what stands there."""

    id: str
    what: str
    place: Place
    note: str = ""

    def noted(self, note: str) -> Reference:
        """The same with a note."""
        return replace(self, note=note)


def references(folders: Sequence[Path]) -> Iterator[Reference]:
    """Every place in the own files of folders of rules that names a rule."""
    selection = load_selection(folders)
    for entry in selection.include:
        yield from (Reference(id_, "selection (include)", entry.place) for id_ in entry.condition.ids)
    for entry in selection.exclude:
        yield from (Reference(id_, "selection (exclude)", entry.place) for id_ in entry.condition.ids)
    for override in load_overrides(folders).entries:
        changed = ", ".join(override.settings)
        yield from (
            Reference(id_, f"override of {changed}", override.place) for id_ in override.condition.ids
        )
    for folder in folders:
        for whose, paths in layers(folder):
            if whose == "own":
                for path in paths:
                    yield from _in_file(path)


def _in_file(path: Path) -> Iterator[Reference]:
    try:
        documents = yamlio.load_all(path)
    except ContentError:
        return  # a finding of the loader
    for document in documents:
        data = document.data
        if not isinstance(data, dict):
            continue
        title = str(data.get("title") or path.name)
        for part, what in (("filter", "filter"), ("correlation", "correlation")):
            inner = data.get(part)
            if isinstance(inner, dict):
                for name in _named(inner.get("rules")):
                    yield Reference(name, f"{what} {title}", document.place(part, "rules"))


def _named(listed: Any) -> list[str]:
    names = listed if isinstance(listed, list) else [listed]
    return [str(name) for name in names if isinstance(name, str) and name.lower() != "any"]
