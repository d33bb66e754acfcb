"""Exceptions that a rule has got since an alert, from their files alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from soc.detect.exceptions.since import described, exceptions_since
from soc.respond.alerts import AlertView
from soc.store.contract import Document
from tests.detect.exceptions.world import RULE, exception

VIEW = AlertView(
    Document("alert", "A-1", 1, {"rule": {"id": RULE}, "created": "2026-03-02T07:00:00.700000Z"}, "", "")
)


def made(at: str) -> str:
    """An exception that was made at a time."""
    return exception(more=f"soc.history: [{{at: '{at}', by: lan, action: add}}]\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (made("2026-03-02T07:00:01Z"), True),
        (made("2026-03-02T07:00:00Z"), True),
        (made("2026-03-02T06:59:59Z"), False),
        (made("2026-03-02T09:00:00+07:00"), False),
        (exception(), False),
        (exception().replace("date: 2026-03-01", "date: 2026-03-02"), True),
        (made("2026-03-03T00:00:00Z").replace(RULE, RULE.replace("1", "2")), False),
        (made("2026-03-03T00:00:00Z").replace(f"[{RULE}]", RULE.upper()), True),
        (exception().split("custom_a")[0].replace("2026-03-01", "2026-03-03"), False),
        ("title: [broken " + RULE, False),
        (RULE, False),
    ],
)
def test_only_those_made_since(text: str, found: bool, tmp_path: Path) -> None:
    """Of this rule, after the alert was opened; a broken file breaks no page."""
    (tmp_path / "exceptions").mkdir()
    (tmp_path / "exceptions" / "one.yml").write_text(text)
    assert bool(exceptions_since([tmp_path, tmp_path / "none"], VIEW)) is found


def test_in_a_line(tmp_path: Path) -> None:
    """Until when, why, and how to see more."""
    (tmp_path / "exceptions").mkdir()
    (tmp_path / "exceptions" / "one.yml").write_text(made("2026-03-02T07:30:00Z"))
    (one,) = exceptions_since([tmp_path], VIEW)
    before, after = (datetime(2026, 3, 2, hour, tzinfo=UTC) for hour in (7, 9))
    assert described(one, before) == "one, until 2026-03-02: the backup job (soc exception show one)"
    assert described(one, after).startswith("one, expired 2026-03-02")
