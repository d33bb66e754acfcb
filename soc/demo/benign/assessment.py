"""What the assessment team and the national centre send on a day without bad news."""

# ruff: noqa: E501 - log lines stand whole, as programs write them

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from soc.demo.benign.world import World

_PLUGINS = (
    (19506, "Nessus Scan Information", "Settings", 0, "None"),
    (11219, "Nessus SYN scanner", "Port scanners", 0, "None"),
    (10287, "Traceroute Information", "General", 0, "None"),
    (10863, "SSL Certificate Information", "General", 0, "None"),
    (70658, "SSH Server CBC Mode Ciphers Enabled", "Misc.", 1, "Low"),
    (10114, "ICMP Timestamp Request Remote Date Disclosure", "General", 1, "Low"),
    (57582, "SSL Self-Signed Certificate", "General", 2, "Medium"),
    (51192, "SSL Certificate Cannot Be Trusted", "General", 2, "Medium"),
)
_TARGETS = ("10.20.8.21", "10.20.8.22", "10.20.8.31", "10.20.8.32", "198.51.100.10", "198.51.100.11")


def nessus(world: World) -> list[str]:
    """The weekly scan: only what is known and of little weight."""
    out = [
        '<?xml version="1.0" ?>',
        "<NessusClientData_v2>",
        '<Report name="weekly" xmlns:cm="http://www.nessus.org/cm">',
    ]
    for target in _TARGETS:
        out += [
            f'<ReportHost name="{target}"><HostProperties>',
            f'<tag name="host-ip">{target}</tag>',
            "</HostProperties>",
        ]
        for number, name, family, severity, factor in _PLUGINS:
            if severity and world.chance(0.4):
                continue
            port = 443 if "SSL" in name else 22 if "SSH" in name else 0
            out += [
                (
                    f'<ReportItem port="{port}" svc_name="general" protocol="tcp" severity="{severity}" pluginID="{number}"'
                    f' pluginName="{escape(name)}" pluginFamily="{family}">'
                ),
                f"<description>{escape(name)}</description>",
                f"<risk_factor>{factor}</risk_factor>",
                "<solution>n/a</solution>",
                "</ReportItem>",
            ]
        out.append("</ReportHost>")
    return [*out, "</Report>", "</NessusClientData_v2>"]


_TEMPLATES = (
    ("tech-detect", "Wappalyzer Technology Detection", "info"),
    ("http-missing-security-headers", "HTTP Missing Security Headers", "info"),
    ("ssl-dns-names", "SSL DNS Names", "info"),
    ("robots-txt-endpoint", "robots.txt endpoint prober", "info"),
    ("weak-cipher-suites", "Weak Cipher Suites Detection", "low"),
)


def nuclei(world: World) -> list[str]:
    """The weekly scan of the portal."""
    out = []
    for number in range(40):
        template, name, severity = world.pick(_TEMPLATES)
        out.append(
            json.dumps(
                {
                    "template-id": template,
                    "info": {"name": name, "author": ["scanner"], "tags": ["tech"], "severity": severity},
                    "type": "http",
                    "host": "https://portal.bo.example",
                    "matched-at": f"https://portal.bo.example/{'service/' if number % 3 else ''}",
                    "ip": "198.51.100.10",
                    "timestamp": f"{world.day.isoformat()}T05:{number:02d}:11.000000000+07:00",
                    "matcher-status": True,
                },
                separators=(",", ":"),
            )
        )
    return out


def indicators(world: World) -> list[str]:
    """The national centre's list of botnet addresses: all of them somebody else's."""
    addresses = {f"203.0.113.{world.below(255, 1)}" for _ in range(120)} | {
        f"192.0.2.{world.below(255, 1)}" for _ in range(80)
    }
    return sorted(addresses, key=lambda text: tuple(map(int, text.split("."))))
