"""Whose rule files are: your own, shipped ones, or those of an imported set, which stand apart from yours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from soc import content
from soc.detect.pipelines import FOLDER
from soc.detect.placeholders import FOLDER as LISTS

UPSTREAM = "upstream"
"""Name of the folder, within a folder of rules, that holds imported sets, each in a folder of its own."""

SHIPPED = "shipped-rules"
"""Name of the folder that holds the shipped rules in a copy of a published set."""

SELECTION, OVERRIDES = "selection.yml", "overrides.yml"
"""Names of the files, at the top of a folder of rules, that say which rules run and how."""


def is_shipped(folder: Path) -> bool:
    """Whether a folder of rules is the one that comes with the package, or a published copy of it."""
    return folder.name == SHIPPED or folder == content.shipped("rules")


def rule_files(folder: Path) -> Iterator[Path]:
    """The rule files below a folder (or the file itself): without samples, pipelines and hidden files, and
    without what is said *about* rules (`soc.detect.releases`). Imported sets come first.
    """
    for _, files in layers(folder):
        yield from files


def layers(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """The rule files of a folder by whose they are (`Rule.origin`); a later layer beats an earlier one."""
    if not folder.is_dir():
        yield "own", list(content.files(folder)) if folder.exists() else []
        return
    own = "shipped" if is_shipped(folder) else "own"
    found: dict[str, list[list[str]]] = {}
    upstream = f"{folder / UPSTREAM}{os.sep}"
    for root, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in ("samples", FOLDER, LISTS) and not name.startswith(".")
        ]
        whose = root[len(upstream) :].partition(os.sep)[0] if root.startswith(upstream) else own
        rules = [n for n in names if n.endswith((".yml", ".yaml")) and not n.startswith(".")]
        if root == str(folder):
            rules = [n for n in rules if n not in (SELECTION, OVERRIDES)]
        found.setdefault(whose, []).extend([root, n] for n in rules)
    for whose in sorted(found, key=lambda name: (name == own, name)):
        yield whose, [Path(root, name) for root, name in sorted(found[whose])]
