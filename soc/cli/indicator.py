"""`soc indicator`: what events are matched with."""

from __future__ import annotations

from typing import Annotated

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import session

app = noun("Indicators: what of layer 4 the events are matched with")


@app.command("list")
def list_() -> None:
    """Count the indicators there are, by source and type.

    They come from the lists of layer 4 that were collected (soc collector list). `valid` ones match
    events now, `expired` ones are past their valid-until, `unused` ones were taken back by their source,
    are not meant for detection, or are networks too large to be meant.

    Examples:

      soc indicator list

      soc indicator list --output json
    """
    from datetime import UTC, datetime

    from soc.detect.beyond.indicators import Indicators

    s = session()
    found = Indicators(s.store(create=False))
    found.refresh()
    columns = [
        Column("source", style="bold"),
        Column("provider", wide=True),
        Column("type"),
        Column("valid", right=True),
        Column("not_yet", right=True),
        Column("expired", right=True),
        Column("unused", right=True),
    ]
    rows = found.overview(datetime.now(UTC))
    s.out.rows(
        rows, columns, empty="there are no indicators; soc collector list --layer 4 shows what brings them"
    )


@app.command("show")
def show(
    value: Annotated[str, typer.Argument(help="An address, network, name, URL, hash or mail address")],
) -> None:
    """Show the indicators that a value is, or is in: networks of an address, the names above a name.

    The value may be written as lists write it (hxxp://, [.]). Events of the past that hold it are found
    with soc search.

    Examples:

      soc indicator show 203.0.113.66

      soc indicator show c2.example.net --output json
    """
    from datetime import UTC, datetime

    from soc.detect.beyond.indicators import Indicators

    s = session()
    found = Indicators(s.store(create=False))
    found.refresh()
    columns = [
        Column("indicator", style="bold"),
        Column("type"),
        Column("state"),
        Column("provider", wide=True),
        Column("tlp"),
        Column("confidence", right=True),
        Column("description", wide=True),
    ]
    s.out.rows(found.about(value, datetime.now(UTC)), columns, empty="no indicator")
