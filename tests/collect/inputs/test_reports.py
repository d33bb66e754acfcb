"""Report files are read whole, once: copies and touched files add nothing, a new report its findings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import orjson
import pytest

from soc import content
from soc.collect.collector import Collectors, load_collectors
from soc.collect.run import SourceReport
from soc.config import Source
from tests.collect.world import World


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    return load_collectors([content.shipped("collectors")])


def sarif(path: Path, *rules: str) -> None:
    """A scanner's report with one finding for each rule."""
    results = [
        {
            "ruleId": rule,
            "level": "error",
            "message": {"text": f"{rule} in the portal"},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"uri": "app.py"}, "region": {"startLine": 3}}}
            ],
        }
        for rule in rules
    ]
    tool = {"driver": {"name": "scan", "version": "1", "rules": [{"id": r} for r in rules]}}
    path.write_bytes(orjson.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": results}]}))


def collect(world: World, collectors: Collectors) -> SourceReport:
    source = Source("scans", "sarif", (str(world.logs / "*.sarif"),))
    return world.once(source, collectors=collectors)


def test_read_once(tmp_path: Path, collectors: Collectors) -> None:
    """Every finding is an event; a second look, a touch and a copy add nothing."""
    world = World(tmp_path)
    report = world.logs / "a.sarif"
    sarif(report, "R1", "R2", "R3")
    assert collect(world, collectors).counts.stored == 3
    assert collect(world, collectors).counts.read == 0
    os.utime(report)
    shutil.copy(report, world.logs / "b.sarif")
    report.rename(world.logs / "c.sarif")
    assert collect(world, collectors).counts.read == 0
    assert collect(world, collectors).counts.read == 0


def test_a_report_that_grew_adds_what_is_new(tmp_path: Path, collectors: Collectors) -> None:
    """A file written in place keeps its life: findings that were there are duplicates."""
    world = World(tmp_path)
    sarif(world.logs / "a.sarif", "R1", "R2")
    collect(world, collectors)
    sarif(world.logs / "a.sarif", "R1", "R2", "R3")
    counts = collect(world, collectors).counts
    assert (counts.stored, counts.duplicate) == (1, 2)


def test_another_file_under_the_name_is_another_report(tmp_path: Path, collectors: Collectors) -> None:
    """A report that took the place of an older one is a new observation of everything in it."""
    world = World(tmp_path)
    sarif(world.logs / "a.sarif", "R1", "R2")
    collect(world, collectors)
    sarif(world.logs / ".new", "R1", "R2", "R3")
    (world.logs / ".new").replace(world.logs / "a.sarif")
    assert collect(world, collectors).counts.stored == 3


def test_half_a_report(tmp_path: Path, collectors: Collectors) -> None:
    """A cut report becomes an event that says so; every record has a fate."""
    world = World(tmp_path)
    report = world.logs / "a.sarif"
    sarif(report, "R1", "R2")
    report.write_bytes(report.read_bytes()[:200])
    counts = collect(world, collectors).counts
    assert counts.unparsed >= 1
    assert counts.balanced
