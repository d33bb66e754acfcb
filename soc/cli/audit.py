"""`soc audit`: read and verify the audit log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import session
from soc.cli.times import brief, say_zone

app = noun("Read and verify the audit log")

COLUMNS = [
    Column("number", "NO", right=True),
    Column("time"),
    Column("user", style="bold"),
    Column("on_behalf_of", "ON BEHALF OF"),
    Column("action"),
    Column("subject", wide=True),
]


@app.command("list")
def list_(
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Only entries from then on")] = "",
    subject: Annotated[str, typer.Option("--subject", metavar="ID", help="Only what was done to this")] = "",
) -> None:
    """Show who changed what, and when.

    The user is the one that the store knows: its authenticated user, or the
    one of the operating system. Every field of an entry, its hashes
    included, is in the JSON output.

    Examples:

    soc audit list --since 24h

    soc audit list --subject A-7F3K

    soc audit list --output json --fields number,user,detail
    """
    from dataclasses import asdict

    from soc.respond import audit
    from soc.timing import parse_when

    s = session()

    times: list[str] = []

    def row(entry: audit.AuditEntry) -> dict[str, Any]:
        data = asdict(entry)
        if s.out.is_table:
            times.append(entry.time)
            data["time"] = brief(entry.time, seconds=True)
        return data

    found = audit.entries(s.store(create=False), since=parse_when(since) if since else None, subject=subject)
    s.out.rows(map(row, found), COLUMNS, empty="the audit log has no such entry")
    say_zone(s, times)


@app.command("verify")
def verify(
    anchor: Annotated[
        Path | None, typer.Option("--anchor", metavar="FILE", help="What soc audit anchor printed earlier")
    ] = None,
) -> int:
    """Check the chain of hashes, the users, and every document that the log speaks of.

    Exit code 1 when something is wrong, and says where: an entry that was
    edited, removed or put in, a user who is not the one that the store
    stamped, a document changed behind the log's back. That entries were cut
    off at the end shows only with an anchor that is kept elsewhere. A change
    that was announced but not done (a crash, a conflict) is shown and is no
    fault.

    Examples:

    soc audit verify

    soc audit verify --anchor /media/safe/anchor.txt
    """
    from soc.respond import anchors, audit

    s = session()
    known = anchors.read(anchor) if anchor else None
    report = audit.verify(s.store(create=False), known)
    people = s.out.is_table
    s.out.one(
        {
            "intact": report.ok,
            "entries": report.entries,
            "last": report.last.number,
            "hash": report.last.hash,
            "documents": report.documents,
            "anchored": known is not None,
            "breaks": ([b.message for b in report.breaks] or "none")
            if people
            else [_plain(b) for b in report.breaks],
            "intended": (list(report.intended) or "none") if people else list(report.intended),
        }
    )
    if not report.ok:
        s.say(
            f"the audit log is broken in {len(report.breaks)} places; the first: {report.breaks[0].message}"
        )
        return 1
    if known is None:
        s.say("whether entries were cut off at the end shows only with --anchor; see soc audit anchor --help")
    return 0


def _plain(found: Any) -> dict[str, Any]:
    return {"kind": found.kind, "number": found.number, "message": found.message}


@app.command("anchor")
def anchor() -> None:
    """Print the number and hash of the last entry, to be kept outside of the store.

    Print it on paper, mail it to somebody, or write it where nobody who can
    write the store can write: only then is a cut tail found by
    soc audit verify --anchor FILE.

    Examples:

    soc audit anchor

    soc audit anchor >> /media/safe/anchor.txt
    """
    from soc.respond import audit

    s = session()
    found = audit.anchor(s.store(create=False))
    if s.out.is_table and s.out.fields is None:
        s.out.write(f"{found.number} {found.hash}")
    else:
        s.out.one({"number": found.number, "hash": found.hash})
