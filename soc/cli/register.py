"""`soc register`: systems, their levels and owners, and the assets that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from soc.cli.app import noun
from soc.cli.output import Column
from soc.cli.session import Session, session

if TYPE_CHECKING:
    from soc.respond.register import Asset, Register

app = noun("Systems, their levels and owners, and the assets that belong to them")

EXAMPLE = """systems:
  - {name: portal, title: Public service portal, level: 4, owner: Web team}
assets:
  - {host: web01.example.org, addresses: [192.0.2.10], system: portal, criticality: high}
"""
COLUMNS = [
    Column("name", "ASSET", style="bold"),
    Column("system"),
    Column("level", right=True),
    Column("owner"),
    Column("criticality"),
    Column("addresses", wide=True),
]


def _register(s: Session) -> Register:
    from soc.respond.register import load_register

    return load_register(s.config.register)


def _row(asset: Asset) -> dict[str, Any]:
    system = asset.system
    return {
        "name": asset.name,
        "hosts": list(asset.hosts),
        "addresses": [str(n).removesuffix(f"/{n.max_prefixlen}") for n in asset.addresses],
        "system": system.name,
        "title": system.title,
        "level": system.level if system.level is not None else "unknown",
        "owner": system.owner,
        "criticality": asset.criticality or "unknown",
    }


@app.command("list")
def list_(
    system: Annotated[str, typer.Option("--system", metavar="NAME", help="Only assets of this system")] = "",
) -> None:
    """Show the assets with their systems, levels and owners.

    The register is the file register.yml beside soc.yml, or the one that
    `register:` in soc.yml names; a CSV file with the columns host, addresses,
    system, level, owner, criticality does as well. What is not listed is
    unknown: no level is assumed.

    Examples:

    soc register list

    soc register list --system portal --output csv
    """
    s = session()
    register = _register(s)
    assets = register.assets_of(system) if system else register.assets
    s.out.rows(map(_row, assets), COLUMNS, empty="no asset is listed")
    if s.config.register is None:
        s.say(f"there is no register yet; write one as register.yml beside soc.yml, such as:\n\n{EXAMPLE}")


@app.command("show")
def show(
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="A host name, with or without domain, or an address")
    ],
) -> int:
    """Show to what system a host or an address belongs.

    Of several networks that hold an address, the smallest counts. Exit code
    1 when the register does not list it.

    Examples:

    soc register show web01

    soc register show 192.0.2.10
    """
    s = session()
    asset = _register(s).asset_for(host=host, ip=host)
    if asset is None:
        s.out.one({"name": host, "system": "unknown", "level": "unknown", "criticality": "unknown"})
        none = s.config.register is None
        what = "there is no register yet (soc register list)" if none else "the register does not list it"
        s.say(f"{what}; its level is unknown")
        return 1
    s.out.one(_row(asset))
    return 0
