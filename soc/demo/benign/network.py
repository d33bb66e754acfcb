"""Harmless network logs: what the firewall drops every day, and what the sensor writes about ordinary traffic."""

# ruff: noqa: E501 - log lines stand whole, as programs write them

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from soc.demo.benign.world import BROWSERS, World, syslog_time

_PROBED = (
    22,
    23,
    80,
    443,
    445,
    1433,
    2323,
    3306,
    3389,
    5060,
    5555,
    5900,
    6379,
    8080,
    8443,
    8728,
    9200,
    11211,
    37215,
)


def iptables(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """The firewall: probes from the Internet dropped, and some ordinary connections noted."""
    uptime = 4_812_000.0
    for at in world.moments(count):
        stamp = f"{uptime + at.hour * 3600 + at.minute * 60 + at.second + at.microsecond / 1e6:.6f}"
        kind = world.weighted(((76, _dropped), (10, _broadcast), (12, _audited), (2, _administered)))
        yield at, f"{syslog_time(at)} fw01 kernel: [{stamp}] {kind(world)}"


_MAC = "MAC=52:54:00:1a:2b:3c:52:54:00:aa:bb:cc:08:00"


def _dropped(world: World) -> str:
    client = f"{world.pick(('192.0.2', '203.0.113'))}.{world.below(250, 70)}"
    target = f"198.51.100.{world.below(62, 2)}"
    head = f"[UFW BLOCK] IN=wan0 OUT= {_MAC} SRC={client} DST={target}"
    if world.chance(0.15):
        return (
            f"{head} LEN={world.below(400, 40)} TOS=0x00 PREC=0x00 TTL={world.below(60, 40)} ID={world.below(65_000)}"
            f" PROTO=UDP SPT={world.below(65_000, 1_024)} DPT={world.pick((53, 123, 161, 1900, 5060))} LEN=32"
        )
    return (
        f"{head} LEN=44 TOS=0x00 PREC=0x00 TTL={world.below(250, 40)} ID={world.below(65_000)} PROTO=TCP"
        f" SPT={world.below(65_000, 1_024)} DPT={world.pick(_PROBED)} WINDOW=1024 RES=0x00 SYN URGP=0"
    )


def _broadcast(world: World) -> str:
    return (
        f"[UFW BLOCK] IN=lan0 OUT= MAC=ff:ff:ff:ff:ff:ff:52:54:00:aa:bb:cc:08:00 SRC={world.desk()} DST=10.20.255.255 LEN=78"
        f" TOS=0x00 PREC=0x00 TTL=128 ID={world.below(65_000)} PROTO=UDP SPT=137 DPT=137 LEN=58"
    )


def _audited(world: World) -> str:
    return (
        f"[UFW ALLOW] IN=lan0 OUT=wan0 {_MAC} SRC={world.desk()} DST=192.0.2.{world.below(60, 10)} LEN=60 TOS=0x00 PREC=0x00"
        f" TTL=63 ID={world.below(65_000)} DF PROTO=TCP SPT={world.below(65_000, 33_000)} DPT={world.pick((80, 443))}"
        " WINDOW=64240 RES=0x00 SYN URGP=0"
    )


_ADMINISTERED = (
    ("10.20.5.12", "10.20.9.14", 22, "srv0"),
    ("10.20.5.11", "10.20.9.14", 3389, "srv0"),
    ("10.20.8.25", "192.0.2.25", 25, "wan0"),
    ("10.20.31.7", "10.20.8.40", 445, "srv0"),
    ("10.20.8.21", "10.20.9.31", 3306, "db0"),
)
"""Connections that look worse than they are: administrators, the mail server, shares and data bases inside."""


def _administered(world: World) -> str:
    source, target, port, interface = world.pick(_ADMINISTERED)
    return (
        f"[UFW ALLOW] IN=lan0 OUT={interface} {_MAC} SRC={source} DST={target} LEN=60 TOS=0x00 PREC=0x00 TTL=63"
        f" ID={world.below(65_000)} DF PROTO=TCP SPT={world.below(65_000, 33_000)} DPT={port} WINDOW=64240 RES=0x00 SYN URGP=0"
    )


_SITES = (
    "www.example.com",
    "cdn.example.net",
    "updates.example.org",
    "mail.example.com",
    "portal.bo.example",
    "time.example.org",
)
_ALERTS = (
    (2_210_044, "SURICATA STREAM Packet with invalid timestamp", "Generic Protocol Command Decode", 3),
    (2_013_028, "ET POLICY curl User-Agent Outbound", "Attempted Information Leak", 2),
    (2_402_000, "ET DROP Dshield Block Listed Source group 1", "Misc Attack", 2),
    (
        2_018_959,
        "ET POLICY PE EXE or DLL Windows file download HTTP",
        "Potential Corporate Privacy Violation",
        3,
    ),
)
_SERVERS = "192.0.2"


def suricata(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """EVE of the sensor: flows, names looked up, pages and certificates, and notices of no weight."""
    kinds = ((42, _flow), (30, _dns), (16, _tls), (10, _http), (2, _alert))
    for at in world.moments(count):
        body = world.weighted(kinds)(world, at)
        head = {
            "timestamp": f"{at:%Y-%m-%dT%H:%M:%S.%f%z}",
            "flow_id": world.below(2_000_000_000_000_000),
            "in_iface": "eth1",
        }
        yield at, json.dumps({**head, **body}, separators=(",", ":"))


def _ends(world: World, kind: str, port: int, proto: str = "TCP") -> dict[str, Any]:
    return {
        "event_type": kind,
        "src_ip": world.desk(),
        "src_port": world.below(65_000, 33_000),
        "dest_ip": f"{_SERVERS}.{world.below(60, 10)}",
        "dest_port": port,
        "proto": proto,
    }


def _flow(world: World, at: datetime) -> dict[str, Any]:
    port = world.weighted(((70, 443), (12, 80), (10, 53), (5, 123), (3, 993)))
    proto = "UDP" if port in {53, 123} else "TCP"
    to_server = world.below(60_000, 80)
    flow = {
        "pkts_toserver": to_server // 400 + 1,
        "pkts_toclient": to_server // 200 + 1,
        "bytes_toserver": to_server,
        "bytes_toclient": world.below(4_000_000, 80),
        "start": f"{at:%Y-%m-%dT%H:%M:%S.%f%z}",
        "end": f"{at:%Y-%m-%dT%H:%M:%S.%f%z}",
        "age": world.below(120),
        "state": "closed",
        "reason": "timeout",
        "alerted": False,
    }
    name = {443: "tls", 80: "http", 53: "dns", 123: "ntp", 993: "imap"}[port]
    return {**_ends(world, "flow", port, proto), "app_proto": name, "flow": flow}


def _dns(world: World, at: datetime) -> dict[str, Any]:
    del at
    name = world.pick(_SITES) if world.chance(0.8) else f"{world.hex(8)}.cdn.example.net"
    kind = world.weighted(((6, "A"), (3, "AAAA"), (1, "HTTPS")))
    ends = {**_ends(world, "dns", 53, "UDP"), "dest_ip": "10.20.1.53"}
    dns = {
        "type": "query",
        "id": world.below(65_000),
        "rrname": name,
        "rrtype": kind,
        "tx_id": 0,
        "opcode": 0,
    }
    return {**ends, "dns": dns}


def _tls(world: World, at: datetime) -> dict[str, Any]:
    del at
    name = world.pick(_SITES)
    tls = {
        "subject": f"CN={name}",
        "issuerdn": "C=US, O=Example Trust, CN=Example CA 3",
        "sni": name,
        "version": "TLS 1.3",
        "notbefore": "2026-01-05T00:00:00",
        "notafter": "2026-04-05T00:00:00",
        "ja3": {"hash": world.hex(32)},
    }
    return {**_ends(world, "tls", 443), "tls": tls}


def _http(world: World, at: datetime) -> dict[str, Any]:
    del at
    http = {
        "hostname": world.pick(_SITES),
        "url": world.pick(("/", "/index.html", "/pool/main/l/linux/linux.deb", "/ocsp")),
        "http_user_agent": world.pick(BROWSERS),
        "http_content_type": "text/html",
        "http_method": "GET",
        "protocol": "HTTP/1.1",
        "status": world.weighted(((9, 200), (1, 304))),
        "length": world.below(90_000, 100),
    }
    return {**_ends(world, "http", 80), "tx_id": 0, "http": http}


def _alert(world: World, at: datetime) -> dict[str, Any]:
    del at
    if world.chance(0.2):
        return _stopped(world)
    number, text, category, severity = world.pick(_ALERTS)
    alert = {
        "action": "allowed",
        "gid": 1,
        "signature_id": number,
        "rev": 4,
        "signature": text,
        "category": category,
        "severity": severity,
    }
    return {**_ends(world, "alert", world.pick((80, 443))), "alert": alert}


def _stopped(world: World) -> dict[str, Any]:
    """An attack from the Internet that the sensor blocked."""
    alert = {
        "action": "blocked",
        "gid": 1,
        "signature_id": 2_034_125,
        "rev": 4,
        "signature": "ET EXPLOIT Apache HTTP Server 2.4.49 - Path Traversal Attempt (CVE-2021-41773) M2",
        "category": "Attempted Administrator Privilege Gain",
        "severity": 1,
    }
    ends = {
        **_ends(world, "alert", 443),
        "src_ip": f"203.0.113.{world.below(250, 70)}",
        "dest_ip": "198.51.100.10",
    }
    return {**ends, "alert": alert}


_KEYS_OF_MAIL = ("selector-2026-a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8", "s1")


def zeek(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """Zeek's view of the second site: connections and names, the keys of mail servers among them."""
    for at in world.moments(count):
        head = {"ts": round(at.timestamp(), 6), "uid": f"C{world.hex(12)}"}
        ends = {"id.orig_h": world.desk(), "id.orig_p": world.below(65_000, 33_000)}
        body = _zeek_dns(world) if world.chance(0.5) else _zeek_conn(world)
        yield at, json.dumps({**head, **ends, **body}, separators=(",", ":"))


def _zeek_dns(world: World) -> dict[str, Any]:
    keys = (f"{world.pick(_KEYS_OF_MAIL)}._domainkey.example.com", "TXT")
    name, kind = keys if world.chance(0.3) else (world.pick(_SITES), "A")
    server = {"id.resp_h": "10.20.1.53", "id.resp_p": 53, "proto": "udp"}
    return {
        **server,
        "trans_id": world.below(65_000),
        "query": name,
        "qtype_name": kind,
        "rcode_name": "NOERROR",
    }


def _zeek_conn(world: World) -> dict[str, Any]:
    return {
        "id.resp_h": f"{_SERVERS}.{world.below(60, 10)}",
        "id.resp_p": 443,
        "proto": "tcp",
        "service": "ssl",
        "duration": round(world.dice.random() * 30, 3),
        "orig_bytes": world.below(90_000, 100),
        "resp_bytes": world.below(900_000, 100),
        "conn_state": "SF",
        "orig_pkts": world.below(90, 3),
        "resp_pkts": world.below(90, 3),
    }
