"""The day of the demo: an institution's harmless traffic with an attack in it, in the true formats.

It is the same day on every machine: 2 March 2026, in the institution's zone. Collected with a recorded
shift (`Source.shift`), it ends now; the lines keep their own times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from importlib import resources
from pathlib import Path
from random import Random
from typing import NamedTuple

from soc import yamlio
from soc.demo.benign import hosts, mail, network, web, windows
from soc.demo.benign.world import ZONE, ZONE_NAME, World

SETTINGS = "soc.yml"
DAY = date(2026, 3, 2)
ENDS = datetime.combine(DAY, time(9, 30), ZONE)
"""The last moment of the recorded day: half an hour after the attack, when somebody looks at the queue."""

Lines = Iterator[tuple[datetime, str]]
Maker = Callable[[World, int], Lines]


class Recorded(NamedTuple):
    """One recorded file: its source name, collector, and the harmless lines to put in by generator."""

    source: str
    collector: str
    background: tuple[tuple[Maker, int], ...] = ()


FILES: dict[str, Recorded] = {
    "web01/access.log": Recorded("portal-access", "nginx", ((web.nginx, 3000),)),
    "web01/error.log": Recorded("portal-error", "nginx"),
    "web01/auth.log": Recorded(
        "web01-auth", "syslog", ((hosts.sshd, 150), (hosts.sudo, 60), (hosts.syslog, 250))
    ),
    "web01/audit.log": Recorded("web01-audit", "auditd", ((hosts.auditd, 300),)),
    "mail01/mail.log": Recorded("mail", "postfix", ((mail.postfix, 700),)),
    "fw01/kern.log": Recorded("firewall", "iptables", ((network.iptables, 600),)),
    "ids01/eve.json": Recorded("sensor", "suricata", ((network.suricata, 800),)),
    "windows/forwarded.jsonl": Recorded("windows", "windows-json", ((windows.windows, 900),)),
    "assessment/portal.nuclei.jsonl": Recorded("assessment", "nuclei"),
    "national/botnet.csv": Recorded("national-centre", "indicators"),
}
"""Every file of the day by its path, in the order in which it is shown."""


def write(folder: Path, *, seed: int = 20260302) -> dict[str, int]:
    """Write the day's files below `folder`; lines by path. The same seed gives the same bytes."""
    attack = yamlio.parse(
        resources.files("soc.demo").joinpath("attack.yml").read_text("utf-8"), "attack.yml"
    ).data
    counts = {}
    for number, (name, recorded) in enumerate(FILES.items()):
        world = World(DAY, Random(seed + number))  # noqa: S311 - invented traffic, not a secret
        lines = [line for maker, count in recorded.background for line in maker(world, count)]
        lines = [(at, line) for at, line in lines if at <= ENDS]
        lines += [(_moment(item["at"]), item["line"]) for item in attack.get(name, ())]
        lines.sort(key=lambda line: line[0])  # stable: lines of one second stay in their order
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for _, line in lines), encoding="utf-8")
        counts[name] = len(lines)
    return counts


def _moment(text: str) -> datetime:
    return datetime.combine(DAY, time.fromisoformat(text), ZONE)


def settings(folder: Path, now: datetime) -> str:
    """The `soc.yml` of the demo: every file as a source, shifted so that the day ends at `now` (aware)."""
    shift = int((now - ENDS) / timedelta(seconds=1))
    sources = [
        {
            "name": recorded.source,
            "collector": recorded.collector,
            "paths": [f"logs/{name}"],
            "timezone": ZONE_NAME,
            "host": "" if name.startswith(("windows", "assessment", "national")) else name.partition("/")[0],
            "shift": shift,
        }
        for name, recorded in FILES.items()
    ]
    data = {
        "store": "store",
        "state": "state",
        "register": "register.yml",
        "timezone": ZONE_NAME,
        "sources": [{k: v for k, v in source.items() if v != ""} for source in sources],
    }
    return f"# Settings of the demo in {folder.name}; made by `soc demo`.\n" + yamlio.dump(data)


REGISTER = """\
# The register of the demo's institution: systems with level and owner, and their assets.
systems:
  - {name: portal, title: Public service portal, level: 4, owner: Web team}
  - {name: mail, title: Official e-mail, level: 3, owner: Mail team}
  - {name: directory, title: Directory and sign-in, level: 4, owner: Windows team}
  - {name: workplaces, title: Workplaces, level: 2, owner: Help desk}
assets:
  - {host: web01.bo.example, addresses: [10.20.1.10], system: portal, criticality: high}
  - {host: mail01.bo.example, addresses: [10.20.1.20], system: mail, criticality: high}
  - {host: srv-ad01.bo.example, addresses: [10.20.2.5], system: directory, criticality: critical}
  - {host: desks, addresses: [10.20.30.0/24, 10.20.31.0/24, 10.20.32.0/24], system: workplaces}
"""
