#!/usr/bin/env python3
"""Lines per second of each collector, against a bare regular expression (or JSON reader), a dictionary and
orjson.

    python -m benchmarks.parse [--lines 100000] [--only NAME …] [--with-output]

Lines are generated from a seed, all different in time, address and numbers. Both sides of a pair run in
turns in one process, and the best of three rounds counts, since the machine is shared. `--with-output` adds
the time of writing each event as JSON.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import orjson

from benchmarks.common import machine
from soc.collect.collector import Context, load_collectors
from soc.content import shipped

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)


def _address(rng: random.Random) -> str:
    return f"192.0.2.{rng.randrange(256)}" if rng.random() < 0.9 else f"2001:db8::{rng.randrange(65536):x}"


def nginx(rng: random.Random, moment: datetime) -> str:
    """A line of an access log."""
    status = rng.choice((200, 200, 200, 304, 404, 500))
    return (
        f"{_address(rng)} - - [{moment:%d/%b/%Y:%H:%M:%S} +0000] "
        f'"GET /thu-tuc/{rng.randrange(10**6)}?trang={rng.randrange(50)} '
        f'HTTP/1.1" {status} {rng.randrange(10**5)} "https://portal.example.org/" '
        '"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"'
    )


def sshd(rng: random.Random, moment: datetime) -> str:
    """A message of sshd in a syslog line."""
    user, port = f"user{rng.randrange(500)}", rng.randrange(1024, 65536)
    message = rng.choice(
        (
            f"Accepted publickey for {user} from {_address(rng)} port {port} ssh2: ED25519 SHA256:abc{port}",
            f"Failed password for invalid user {user} from {_address(rng)} port {port} ssh2",
            f"Failed password for {user} from {_address(rng)} port {port} ssh2",
            f"Connection closed by authenticating user {user} {_address(rng)} port {port} [preauth]",
            f"pam_unix(sshd:session): session opened for user {user}(uid=1000) by (uid=0)",
        )
    )
    return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S} bastion sshd[{rng.randrange(1, 99999)}]: {message}"


def auditd(rng: random.Random, moment: datetime) -> str:
    """A SYSCALL record."""
    return (
        f"type=SYSCALL msg=audit({moment.timestamp():.3f}:{rng.randrange(10**6)}): arch=c000003e syscall=59 "
        f"success=yes exit=0 a0=55d0 a1=55d1 a2=55d2 a3=8 items=2 ppid={rng.randrange(9999)} "
        f"pid={rng.randrange(99999)} auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 "
        'tty=pts0 ses=3 comm="sh" exe="/usr/bin/dash" key="exec"'
    )


def suricata(rng: random.Random, moment: datetime) -> str:
    """A flow, DNS or HTTP event of EVE."""
    base = {
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{rng.randrange(10**6):06d}+0000",
        "flow_id": rng.randrange(10**15),
        "in_iface": "eth0",
        "src_ip": _address(rng),
        "src_port": rng.randrange(1024, 65536),
        "dest_ip": "198.51.100.10",
        "dest_port": 443,
        "proto": "TCP",
    }
    kind = rng.choice(("flow", "dns", "http"))
    extra: dict[str, object] = {
        "flow": {
            "bytes_toserver": 9000,
            "bytes_toclient": 400,
            "pkts_toserver": 9,
            "pkts_toclient": 7,
            "state": "closed",
        },
        "dns": {
            "type": "query",
            "id": rng.randrange(65536),
            "rrname": f"h{rng.randrange(999)}.example.org",
            "rrtype": "A",
        },
        "http": {
            "hostname": "portal.example.org",
            "url": "/a",
            "http_method": "GET",
            "status": 200,
            "length": 12,
        },
    }
    return orjson.dumps({**base, "event_type": kind, kind: extra[kind]}).decode()


def postfix(rng: random.Random, moment: datetime) -> str:
    """A message of Postfix in a syslog line."""
    message = rng.choice(
        (
            f"connect from unknown[{_address(rng)}]",
            f"warning: unknown[{_address(rng)}]: SASL LOGIN authentication failed: authentication failure",
            (
                f"NOQUEUE: reject: RCPT from unknown[{_address(rng)}]: 554 5.7.1 <a@example.org>: "
                "Relay access denied; from=<x@example.net> to=<a@example.org> proto=ESMTP helo=<h>"
            ),
        )
    )
    time = f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S}"
    return f"{time} mx1 postfix/smtpd[{rng.randrange(1, 99999)}]: {message}"


def iptables(rng: random.Random, moment: datetime) -> str:
    """A packet logged by the kernel."""
    return (
        f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S} gw kernel: [5002.088484] [UFW BLOCK] IN=eth0 OUT= "
        f"MAC=00:00:5e:00:53:01:00:00:5e:00:53:23:08:00 SRC=192.0.2.{rng.randrange(256)} DST=198.51.100.10 "
        f"LEN=40 TOS=0x00 PREC=0x00 TTL=245 ID={rng.randrange(65536)} PROTO=TCP "
        f"SPT={rng.randrange(1024, 65536)} DPT=23 WINDOW=1024 SYN URGP=0"
    )


_CLF = re.compile(
    r'(?P<ip>\S+) - (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<url>\S+) HTTP/(?P<v>\S+)" '
    r'(?P<status>\d+) (?P<bytes>\d+) "(?P<ref>[^"]*)" "(?P<ua>[^"]*)"'
)
_SYSLOG = re.compile(
    r"(?P<time>\w{3} [ \d]\d \S+) (?P<host>\S+) (?P<prog>[^\[:]+)(?:\[(?P<pid>\d+)\])?: (?P<msg>.*)"
)
_PAIRS = re.compile(r"(\w+)=(\S+)")


def _bare_json(line: bytes) -> object:
    return orjson.loads(line)


def _bare_clf(line: bytes) -> object:
    found = _CLF.match(line.decode())
    return found.groupdict() if found else None


def _bare_syslog(line: bytes) -> object:
    found = _SYSLOG.match(line.decode())
    return found.groupdict() if found else None


def _bare_pairs(line: bytes) -> object:
    return dict(_PAIRS.findall(line.decode()))


Maker = Callable[[random.Random, datetime], str]
Bare = Callable[[bytes], object]
PAIRS: dict[str, tuple[Maker, Bare]] = {
    "nginx": (nginx, _bare_clf),
    "sshd": (sshd, _bare_syslog),
    "auditd": (auditd, _bare_pairs),
    "suricata": (suricata, _bare_json),
    "postfix": (postfix, _bare_syslog),
    "iptables": (iptables, _bare_syslog),
}


def _rate(work: Callable[[bytes], object], lines: list[bytes], *, output: bool) -> float:
    started = time.process_time()
    if output:
        for line in lines:
            orjson.dumps(work(line))
    else:
        for line in lines:
            work(line)
    return len(lines) / (time.process_time() - started)


def main() -> None:
    """Run the pairs and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--only", action="append", choices=sorted(PAIRS))
    parser.add_argument("--with-output", action="store_true")
    options = parser.parse_args()
    print(f"{machine()}, {options.lines} lines, CPU time of one core")
    print(f"{'collector':<10} {'soc':>12} {'bare':>12} {'share':>7}")
    collectors = load_collectors([shipped("collectors")])
    for name, (make, bare) in PAIRS.items():
        if options.only and name not in options.only:
            continue
        rng = random.Random(name)
        lines = [make(rng, START + timedelta(seconds=i / 7)).encode() for i in range(options.lines)]
        decoder = collectors[name].decoder(Context(now=START + timedelta(days=1)))
        failed = sum(
            1
            for line in lines[:1000]
            if (e := decoder.line(line)) is None or e["event.kind"] == "pipeline_error"
        )
        rounds = [
            (
                _rate(decoder.line, lines, output=options.with_output),
                _rate(bare, lines, output=options.with_output),
            )
            for _ in range(3)
        ]
        ours, theirs = max(r[0] for r in rounds), max(r[1] for r in rounds)
        print(
            f"{name:<10} {ours:>10,.0f}/s {theirs:>10,.0f}/s {ours / theirs:>7.2f}"
            + (f"  {failed} unparsed" if failed else "")
        )


if __name__ == "__main__":
    main()
