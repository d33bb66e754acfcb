"""Backtests of correlations: bursts are the alerts, also over files."""

from __future__ import annotations

from pathlib import Path

from soc.detect.backtest import backtest
from tests.detect.correlate.test_stage import BASE, MANY, correlation, failures, loaded
from tests.detect.world import append, open_at


def test_a_correlation_is_tried_on_what_is_there(tmp_path: Path) -> None:
    """Its bursts are its alerts; the rule beneath raises none. Equal lines are events of their own."""
    base, many = loaded(tmp_path, BASE, correlation(MANY))
    with open_at(tmp_path / "store") as store:
        same = failures(0)["e00000"]
        append(store, {"a": same, "b": dict(same), "c": dict(same)} | failures(7200, 7260, 7320, 90_000))
        result = backtest(store, [base, many])
        rows = {row["title"]: row for row in result.rows()}
        assert (rows["Many 9"]["alerts"], rows["Many 9"]["hits"]) == (2, 6)
        assert (rows["Sign-in failed"]["alerts"], rows["Sign-in failed"]["hits"]) == (0, 7)
        alone = backtest(store, [many])
        assert [row["alerts"] for row in alone.rows()] == [2]
        assert not alone.left_out
