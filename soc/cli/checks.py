"""How the results of `soc doctor` and `soc status` are shown."""

from __future__ import annotations

from collections.abc import Iterable

from soc.cli.output import Column, Output
from soc.doctor import Check

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def show_checks(out: Output, checks: Iterable[Check]) -> bool:
    """Write the checks as a table or as data; True when one of them failed."""
    rows = [
        {"check": check.name, "state": str(check.state), "found": check.found, "next": check.next}
        for check in checks
    ]
    columns = [
        Column("check", style="bold"),
        Column("state", styles=STYLES),
        Column("found", wide=True),
        Column("next", wide=True),
    ]
    out.rows(rows, columns)
    return any(row["state"] == "failed" for row in rows)
