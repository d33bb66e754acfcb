"""How findings about content are shown: the same table and JSON for every linter."""

from __future__ import annotations

from collections.abc import Sequence

from soc.cli.output import Column, Output
from soc.errors import Problem, Severity


def rows(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Findings as rows: path, line, column, severity, kind, step, message, hint."""
    return [
        {
            "path": p.place.path,
            "line": p.place.line or None,
            "column": p.place.column or None,
            "severity": str(p.severity),
            "kind": p.kind,
            "step": p.step,
            "message": p.message,
            "hint": p.hint,
        }
        for p in problems
    ]


def show_problems(out: Output, problems: Sequence[Problem]) -> bool:
    """Write the findings; True when there is an error among them."""
    if out.is_table and out.fields is None:
        for problem in problems:
            out.write(str(problem))
    elif problems or not out.is_table:
        out.rows(
            rows(problems), [Column("path"), Column("line"), Column("kind"), Column("message", wide=True)]
        )
    return any(p.severity is Severity.ERROR for p in problems)
