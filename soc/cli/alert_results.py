"""What became of a change on one or many alerts: words, rows and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from soc.cli.output import Column
from soc.cli.session import Session
from soc.errors import ConflictError, ExitCode
from soc.respond.alerts import Change, Changed

DONE = {"ack": "acknowledged", "assign": "assigned", "close": "closed", "note": "noted", "reopen": "reopened"}


def report(s: Session, results: Sequence[Changed], change: Change, *, dry_run: bool) -> int:
    """Show the results; one alert that failed raises its own error, of several the exit code tells."""
    if len(results) == 1 and results[0].error and s.out.is_table:
        raise results[0].error
    if not s.out.is_table or s.fields is not None:
        s.out.rows((_row(r, change, dry_run) for r in results), [Column("id"), Column("result")])
    elif len(results) == 1:
        s.out.write(_words(results[0], change, dry_run))
    else:
        columns = [Column("id", style="bold"), Column("result"), Column("message", wide=True)]
        s.out.rows((_row(r, change, dry_run) for r in results), columns)
        failed = sum(not r.ok for r in results)
        dry = " (dry run)" if dry_run else ""
        s.say(f"{len(results) - failed} of {len(results)} {DONE[change.action]}{dry}")
        if failed and change.text:
            s.say(f"your text, not saved on {failed}: {change.text}")
    return _code(results)


def _code(results: Sequence[Changed]) -> int:
    errors = [r.error for r in results if r.error]
    if not errors:
        return ExitCode.DONE
    if len(errors) < len(results):
        return ExitCode.PARTLY_DONE
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED


def _result(result: Changed, change: Change, dry_run: bool) -> str:
    if isinstance(result.error, ConflictError):
        return "conflict"
    if result.error:
        return "failed"
    if result.unchanged:
        return "unchanged"
    return f"would be {DONE[change.action]}" if dry_run else DONE[change.action]


def _row(result: Changed, change: Change, dry_run: bool) -> dict[str, Any]:
    view = result.view
    error = result.error
    message = str(error) if error else view.title if view else ""
    if isinstance(error, ConflictError) and error.theirs:
        message = f"{message}; {error.theirs}"
    return {
        "id": result.id,
        "result": _result(result, change, dry_run),
        "message": message,
        "status": str(view.status) if view else None,
        "owner": view.owner if view else None,
        "version": view.version if view else None,
        "unsaved": change.text if error else "",
    }


def _words(result: Changed, change: Change, dry_run: bool) -> str:
    view = result.view
    if view is None:
        return ""
    if result.unchanged:
        is_now = f"assigned to {view.owner or 'nobody'}" if change.action == "assign" else DONE[change.action]
        return f"{result.id} is already {is_now}: {view.title} (version {view.version})"
    whom = f" to {view.owner or 'nobody'}" if change.action == "assign" else ""
    why = f" as {view.work.get('reason')}" if change.action == "close" else ""
    return f"{result.id} {_result(result, change, dry_run)}{whom}{why}: {view.title} (version {view.version})"
