"""A harmless day of an invented institution: log files over all four layers in which nothing happens.

The day is the background of the demonstration, and the measure of how much noise the shipped rules make. It
comes from a seed alone: no clock, no locale and no machine changes a byte of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from soc.demo.benign import assessment, hosts, mail, network, web, windows
from soc.demo.benign.world import ZONE_NAME, World

DAY = date(2026, 3, 2)
"""The day, a Monday."""

LINES = 50_000
SEED = 20260302

Writer = Callable[[World, int], Iterator[tuple[datetime, str]]]


@dataclass(frozen=True, slots=True)
class DayFile:
    """One log file of the day: who reads it, where it is, its lines, the zone of times without one."""

    collector: str
    path: Path
    lines: int
    timezone: str = ZONE_NAME


_SHARES: Mapping[str, tuple[str, Writer, float]] = {
    "portal-nginx.log": ("nginx", web.portal, 0.33),
    "edoc-apache.log": ("apache", web.apache, 0.07),
    "auth-sshd.log": ("sshd", hosts.sshd, 0.04),
    "auth-sudo.log": ("sudo", hosts.sudo, 0.04),
    "syslog": ("syslog", hosts.syslog, 0.03),
    "audit.log": ("auditd", hosts.auditd, 0.06),
    "mail.log": ("postfix", mail.postfix, 0.12),
    "firewall.log": ("iptables", network.iptables, 0.09),
    "eve.json": ("suricata", network.suricata, 0.10),
    "zeek.log": ("zeek", network.zeek, 0.02),
    "edr.json": ("edr", windows.edr, 0.002),
    "wazuh-alerts.json": ("wazuh", hosts.wazuh, 0.01),
    "winlogbeat.ndjson": ("windows-json", windows.windows, 0.08),
}
"""File name to collector, writer and share of the lines; what is left goes to the application's log."""

_REPORTS: Mapping[str, tuple[str, Callable[[World], list[str]]]] = {
    "weekly.nessus": ("nessus", assessment.nessus),
    "nuclei.jsonl": ("nuclei", assessment.nuclei),
    "botnet-addresses.txt": ("indicators", assessment.indicators),
}
"""Reports of the assessment team and the list of the national centre, whose length is their own."""


def write_day(folder: Path, *, lines: int = LINES, seed: int = SEED, day: date = DAY) -> list[DayFile]:
    """Write the day into a folder, which is made if need be: `lines` lines over all files together.

    Raises ValueError for fewer than 1,000 lines, with which no day looks like one.
    """
    if lines < 1_000:
        raise ValueError(f"a day has 1,000 lines or more, not {lines}")
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for name, (collector, report) in _REPORTS.items():
        out.append(_write(folder / name, collector, report(World.rolled(day, seed, name))))
    left = daily = lines - sum(file.lines for file in out)
    for name, (collector, writer, share) in _SHARES.items():
        written = (text for _, text in writer(World.rolled(day, seed, name), int(daily * share)))
        out.append(_write(folder / name, collector, list(written)))
        left -= out[-1].lines
    world = World.rolled(day, seed, "application.jsonl")
    out.append(
        _write(folder / "application.jsonl", "jsonl", [text for _, text in web.application(world, left)])
    )
    return out


def _write(path: Path, collector: str, lines: list[str]) -> DayFile:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return DayFile(collector, path, len(lines))
