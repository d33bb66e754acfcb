"""Audit records: decoding, interpretation, joining."""

from __future__ import annotations

import pytest

from soc import content
from soc.collect.collector import Context, load_collectors
from soc.collect.formats.audit import join, parse

HEAD = "msg=audit(1772435649.120:501): "


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (f'type=SYSCALL {HEAD}comm="cafe" exe=2F746D702F6120622F78', "comm", "cafe"),
        (f'type=SYSCALL {HEAD}comm="cafe" exe=2F746D702F6120622F78', "exe", "/tmp/a b/x"),
        (f"type=SYSCALL {HEAD}a0=55d0 a1=cafe items=1", "a1", "cafe"),
        (f"type=PATH {HEAD}item=0 name=2F6574632F6E677579E1BB856E inode=12", "name", "/etc/nguyễn"),
        (f"type=ADD_USER {HEAD}pid=1 uid=0 msg='op=adding user acct=\"binh\" res=success'", "op",
         "adding user"),
        (f"type=ADD_USER {HEAD}pid=1 uid=0 msg='op=adding user acct=\"binh\" res=success'", "acct",
         "binh"),
        (f'type=SYSCALL {HEAD}uid=0 auid=4294967295\x1dUID="root" AUID="unset"', "UID", "root"),
    ],
)  # fmt: skip
def test_values_are_decoded(line: str, field: str, value: str) -> None:
    """Hexadecimal digits become text where the kernel writes text so, and only there."""
    record = parse(line)
    assert record is not None
    assert record["fields"][field] == value


@pytest.mark.parametrize("value", ["(null)", "?", "(none)", '"?"', '""'])
def test_placeholders_are_no_values(value: str) -> None:
    """What stands for nothing is left out."""
    record = parse(f"type=SYSCALL {HEAD}key={value} pid=1")
    assert record is not None
    assert record["fields"] == {"pid": "1"}


def test_long_arguments_are_put_together() -> None:
    """An argument that comes in pieces is one."""
    record = parse(f'type=EXECVE {HEAD}argc=3 a0="sh" a1_len=8 a1[0]=6162 a1[1]=6364 a2="10"')
    assert record is not None
    assert record["args"] == ["sh", "abcd", "10"]


@pytest.mark.parametrize(
    ("digits", "ip", "port"),
    [
        ("02000050C00002420000000000000000", "192.0.2.66", 80),
        ("0A0001BB0000000020010DB800000000000000000000000100000000", "2001:db8::1", 443),
        ("0200", None, None),
        ("01002F72756E2F78", None, None),
        ("zz", None, None),
    ],
)
def test_socket_addresses_are_read(digits: str, ip: str | None, port: int | None) -> None:
    """IPv4 and IPv6 addresses of socket calls; others are no addresses."""
    record = parse(f"type=SOCKADDR {HEAD}saddr={digits}")
    assert record is not None
    assert (record.get("remote_ip"), record.get("remote_port")) == (ip, port)


def test_a_prefix_of_the_kernel_is_passed_over() -> None:
    """Without auditd the kernel logs records itself."""
    record = parse('Mar  2 10:00:00 h kernel: audit: type=1400 audit(1772435649.120:7): apparmor="DENIED"')
    assert record is not None
    assert (record["record_type"], record["serial"]) == ("1400", "7")


def test_joining_puts_the_records_of_one_event_together() -> None:
    """SYSCALL, EXECVE and PROCTITLE of one serial number are one event; the next number begins another."""
    lines = [
        f'type=SYSCALL {HEAD}arch=c000003e syscall=59 success=yes pid=2 uid=0 exe="/bin/sh" key="exec"',
        f'type=EXECVE {HEAD}argc=2 a0="sh" a1="-i"',
        f"type=CWD {HEAD}cwd=\"/root\"",
        "type=SYSCALL msg=audit(1772435649.120:502): arch=c000003e syscall=2 success=no pid=3",
    ]  # fmt: skip
    decoder = load_collectors([content.shipped("collectors")])["auditd"].decoder(Context())
    events = list(join(e for line in lines if (e := decoder.line(line.encode())) is not None))
    assert len(events) == 2
    first = events[0]
    assert first["process.args"] == ["sh", "-i"]
    assert first["process.executable"] == "/bin/sh"
    assert first["process.working_directory"] == "/root"
    assert first["event.outcome"] == "success"
    assert first["event.original"].count("\n") == 2
    assert events[1]["event.outcome"] == "failure"
