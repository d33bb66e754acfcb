"""A day on which nothing happens: the noise that all shipped rules together make of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from soc import content
from soc.collect.checkpoint import Checkpoint
from soc.collect.collector import load_collectors
from soc.collect.recognise import recognise
from soc.collect.run import Options, Run
from soc.config import Source, StoreSettings
from soc.demo.benign import DayFile, write_day
from soc.detect.ruleset import load_rules
from soc.detect.sweep import Start, sweep
from soc.respond.alerts import list_alerts
from soc.store import open_store
from soc.store.contract import Store

LINES = 50_000
MOST_ALERTS = 20
READ_AT = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)


def digest(files: list[DayFile]) -> str:
    """One hash over all files of a day."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.path.name} {file.lines}\n".encode() + file.path.read_bytes())
    return whole.hexdigest()


def collect(store: Store, files: list[DayFile], state: Path) -> Counter[str]:
    """Bring the files into the store with the shipped collectors; what became of their lines."""
    sources = [Source(file.path.name, file.collector, (str(file.path),), file.timezone) for file in files]
    collectors = load_collectors([content.shipped("collectors")])
    options = Options(once=True, by_hand=True, clock=lambda: READ_AT)
    counts: Counter[str] = Counter()
    with Checkpoint.open(state) as checkpoint:
        for report in Run(sources, collectors, store, checkpoint, options).run():
            assert not report.problems
            counts.update({name: number for name, number in report.row.items() if isinstance(number, int)})
    return counts


@pytest.mark.slow
def test_a_harmless_day_raises_few_alerts(tmp_path: Path) -> None:
    """Fifty thousand lines over all collectors give at most twenty alerts, and every line can be read."""
    files = write_day(tmp_path / "day", lines=LINES)
    assert sum(file.lines for file in files) == LINES
    with open_store(StoreSettings(str(tmp_path / "store"))) as store:
        counts = collect(store, files, tmp_path / "state")
        assert counts["unparsed"] == 0, counts
        ruleset = load_rules([content.shipped("rules")])
        result = sweep(store, ruleset.rules, start=Start())
        assert result.events > 0.98 * (LINES - 209)  # of the Nessus report, findings are events and not lines
        assert result.undecided == 0
        alerts = list(list_alerts(store))
    by_rule = Counter(alert.rule["title"] for alert in alerts)
    assert len(alerts) <= MOST_ALERTS, by_rule.most_common()
    assert not [alert for alert in alerts if alert.rule["level"] in {"high", "critical"}], by_rule


def test_the_day_comes_from_its_seed_alone(tmp_path: Path) -> None:
    """The same seed gives the same bytes, another seed or day others."""
    first, again = (write_day(tmp_path / name, lines=2_000) for name in "ab")
    other = write_day(tmp_path / "c", lines=2_000, seed=7)
    later = write_day(tmp_path / "d", lines=2_000, day=date(2031, 7, 9))
    assert digest(first) == digest(again)
    assert len({digest(first), digest(other), digest(later)}) == 3
    assert sum(file.lines for file in first) == 2_000


def test_a_day_needs_lines(tmp_path: Path) -> None:
    """Fewer lines than make a day are refused before anything is written."""
    with pytest.raises(ValueError, match="1,000 lines"):
        write_day(tmp_path / "day", lines=10)
    assert not (tmp_path / "day").exists()


def test_every_file_of_the_day_is_recognised(tmp_path: Path) -> None:
    """The files are true to their formats: the collector that is meant recognises each by itself."""
    collectors = load_collectors([content.shipped("collectors")])
    for file in write_day(tmp_path / "day", lines=2_000):
        found = recognise(file.path, collectors)
        assert found is not None, file
        family = {found.name, found.format}  # a syslog file goes to the collector of its first known line
        assert file.collector in family or (file.collector, found.name) == ("syslog", "sudo"), file.path.name


def test_the_day_covers_all_layers(tmp_path: Path) -> None:
    """Each of the four layers has a file."""
    collectors = load_collectors([content.shipped("collectors")])
    files = write_day(tmp_path / "day", lines=2_000)
    assert {collectors[file.collector].layer for file in files} == {1, 2, 3, 4}
