"""`soc search`: look for events in the store."""

from __future__ import annotations

from typing import Annotated

import typer

from soc.cli.app import verb
from soc.cli.output import Column
from soc.cli.session import session

app = verb()

COLUMNS = (
    Column("time"),
    Column("layer", right=True),
    Column("host"),
    Column("dataset"),
    Column("message", wide=True),
)


@app.command("search")
def search(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY", help="What to look for; nothing for everything")
    ] = None,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="From this time on: 1h, 2026-03-02, 2026-03-02T07:30"),
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Before this time")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many events; 0 for all")] = 50,
    oldest: Annotated[bool, typer.Option("--oldest/--newest", help="Begin with the oldest events")] = False,
) -> None:
    """Look for events in the store, the newest first.

    Words are looked for in every field, field:value in one. * and ? are
    wildcards, "…" takes text as it is. Also: field:>=10, field:[1 TO 5],
    source.ip:192.0.2.0/24, field:(a or b), field:* (any value); and, or,
    not, parentheses.

    Times without an offset are meant in your zone. A table shows your zone;
    csv gives UTC, json and jsonl whole events in UTC.

    Examples:

    soc search 'source.ip:192.0.2.0/24 and event.outcome:failure' --since 24h

    soc search 'sshd not user.name:(backup or monitor)' --since 2026-03-02 --until 2026-03-03

    soc search 'url.path:*/upload/*.php' --oldest --limit 0 --output jsonl

    soc search 'destination.port:[6660 TO 6669]' --fields @timestamp,source.ip --output csv
    """
    from soc.cli.times import brief, say_zone
    from soc.hints import doubts
    from soc.query import parse
    from soc.search import find, period, rows

    s = session()
    text = " ".join(query or ())
    where, when = parse(text), period(since, until)
    found = find(s.store(create=False), where, when, limit=limit, oldest_first=oldest)
    days: set[str] = set()

    def shown_time(stored: str) -> str:
        days.add(stored[: len("2026-11-23")])
        return brief(stored, seconds=True)

    people = s.out.is_table and s.fields is None
    shown = rows(
        found,
        whole=s.output in ("json", "jsonl"),
        fields=s.fields,
        shown_time=shown_time if people else str,
    )
    if not s.out.rows(shown, COLUMNS):
        for doubt in doubts(text, where):
            s.say(doubt)
    say_zone(s, (f"{day}T12:00:00Z" for day in days))
    if found.more:
        s.say(f"there are more than these {limit}; --limit 0 shows all of them")
