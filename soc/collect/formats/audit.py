"""Records of the Linux audit system, as auditd and the kernel write them.

    type=SYSCALL msg=audit(1709000001.001:501): arch=c000003e syscall=59 … comm="sudo" exe="/usr/bin/sudo"

Values that hold blanks, quotes or control characters are written as hexadecimal digits; which fields may be,
is known (audit-userspace, `lib/audit_logging.c` and `auparse/typetab.h`). What auditd adds behind the group
separator (0x1D) in the `ENRICHED` format are names for numbers, kept as upper-case keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from soc.event import Event

_HEAD = re.compile(
    r"(?:.*?\baudit(?:d|spd|\[\d+\])?(?:\[\d+\])?: )?(?:\[[^\]]*\] )?(?:audit: )?(?:node=(\S+) )?"
    r"type=(\S+) (?:msg=)?audit\((\d{1,12}(?:\.\d{1,9})?):(\d{1,20})\):\s*(.*)",
    re.ASCII | re.DOTALL,
)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+\Z")
_ARGUMENT = re.compile(r"a(\d+)(?:\[(\d+)\])?\Z")

ENCODED = frozenset(
    [
        "proctitle",
        "comm",
        "exe",
        "name",
        "cwd",
        "dir",
        "path",
        "data",
        "acct",
        "key",
        "ocomm",
        "watch",
        "file",
        "device",
        "cmd",
        "new-name",
        "old-name",
        "sw",
        "root_dir",
        "vm",
        "img-ctx",
        "grp",
        "new_group",
        "op",
    ]
)
"""Fields whose value may be hexadecimal digits."""

_DIGITS_STAY = frozenset({"op", "data"})
"""Fields that are decoded only when their value is more than a few digits: `data=10` is a number."""

SYSCALLS = {
    "c000003e": {
        "0": "read", "1": "write", "2": "open", "3": "close", "9": "mmap", "41": "socket", "42": "connect",
        "43": "accept", "49": "bind", "50": "listen", "56": "clone", "57": "fork", "58": "vfork",
        "59": "execve",
        "62": "kill", "76": "truncate", "77": "ftruncate", "80": "chdir", "82": "rename", "83": "mkdir",
        "84": "rmdir", "85": "creat", "86": "link", "87": "unlink", "88": "symlink", "90": "chmod",
        "91": "fchmod",
        "92": "chown", "93": "fchown", "94": "lchown", "101": "ptrace", "105": "setuid", "106": "setgid",
        "113": "setreuid", "114": "setregid", "117": "setresuid", "119": "setresgid", "159": "adjtimex",
        "161": "chroot", "164": "settimeofday", "165": "mount", "166": "umount2", "169": "reboot",
        "170": "sethostname", "171": "setdomainname", "175": "init_module", "176": "delete_module",
        "188": "setxattr", "227": "clock_settime", "257": "openat", "258": "mkdirat", "260": "fchownat",
        "263": "unlinkat", "264": "renameat", "265": "linkat", "266": "symlinkat", "268": "fchmodat",
        "272": "unshare", "288": "accept4", "308": "setns", "310": "process_vm_readv",
        "311": "process_vm_writev",
        "313": "finit_module", "316": "renameat2", "319": "memfd_create", "321": "bpf", "322": "execveat",
        "323": "userfaultfd", "425": "io_uring_setup", "435": "clone3", "437": "openat2",
    },
    "c00000b7": {
        "35": "unlinkat", "40": "mount", "53": "fchmodat", "54": "fchownat", "56": "openat",
        "105": "init_module",
        "106": "delete_module", "117": "ptrace", "198": "socket", "200": "bind", "203": "connect",
        "220": "clone",
        "221": "execve", "273": "finit_module", "276": "renameat2", "280": "bpf", "281": "execveat",
    },
}  # fmt: skip
"""Names of system calls that rules ask for, by architecture: x86-64 and arm64 (Linux, `unistd_64.h`,
`unistd.h`)."""

UNSET = {"4294967295", "-1", "unset"}
"""What stands for "no user signed in" in `auid`."""


def parse(line: str) -> dict[str, Any] | None:
    """One record as its fields, decoded. ValueError where it is no audit record."""
    found = _HEAD.match(line)
    if found is None:
        stripped = line.strip()
        if stripped == "----" or stripped.startswith("time->"):  # what ausearch puts between events
            return None
        raise ValueError("not an audit record: it has no type=… msg=audit(time:serial):")
    node, kind, time, serial, rest = found.groups()
    out: dict[str, Any] = {"record_type": kind, "time": time, "serial": serial}
    if node:
        out["node"] = node
    fields: dict[str, Any] = {}
    body, _, names = rest.partition("\x1d")
    _pairs(fields, body, arguments=kind == "EXECVE")
    if names:
        _pairs(fields, names)
    _interpret(out, fields, kind)
    out["fields"] = fields
    return out


_ABSENT = frozenset({"(null)", "(none)", "?", "(unknown)", "", '""', '"?"'})


_PAIR = re.compile(r"([^\s=]+)=(\S+)")
_DOES = re.compile(r"\bop=([^=]*?)(?: \S+=|\Z)")


def _pairs(fields: dict[str, Any], text: str, *, arguments: bool = False) -> None:
    """All `key=value` of a record; those within `msg='…'` too, which user-space programs write.

    A value never holds a blank: the kernel writes such a value as hexadecimal digits. Only what user-space
    programs say they do (`op=adding user`) runs on. `arguments`: `a0`, `a1`, … are text (EXECVE), not
    numbers.
    """
    outer, quote, inner = text.partition("msg='")
    found: dict[str, str] = dict(_PAIR.findall(outer))
    for key in found.keys() & ENCODED:
        value = found[key]
        if value[0] != '"':
            found[key] = _decoded(key, value)
    if arguments:
        for key, value in found.items():
            if value[0] != '"' and _ARGUMENT.match(key):
                found[key] = unhex(value)
    if "op" in found and (does := _DOES.search(outer)) is not None and does.group(1)[:1] not in {'"', ""}:
        found["op"] = _decoded("op", does.group(1).strip())
    for key, value in found.items():
        if value in _ABSENT or key in fields:
            continue
        fields[key] = value if value[0] != '"' else value.strip('"')
    if quote:
        _pairs(fields, inner.rpartition("'")[0] or inner)


def _decoded(key: str, value: str) -> str:
    if not _HEX.match(value) or (key in _DIGITS_STAY and len(value) < 6):
        return value
    return unhex(value)


def unhex(digits: str) -> str:
    """Hexadecimal digits as text; NUL, which separates arguments, becomes a blank."""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return digits
    return raw.decode("utf-8", "replace").replace("\x00", " ").strip(" ")


def _interpret(out: dict[str, Any], fields: dict[str, Any], kind: str) -> None:
    if kind == "EXECVE":
        _arguments(out, fields)
    elif kind == "SYSCALL":
        number = fields.get("syscall", "")
        name = fields.get("SYSCALL") or SYSCALLS.get(fields.get("arch", ""), {}).get(number)
        if name:
            out["syscall_name"] = name
    elif kind == "SOCKADDR":
        _address(out, fields.get("saddr", ""))
    elif kind == "PROCTITLE":
        out["command_line"] = fields.get("proctitle")
    for name in ("auid", "uid"):
        if fields.get(name) in UNSET:
            del fields[name]
    if "cmd" in fields:
        out["command_line"] = fields["cmd"]
    if "key" in fields:
        key = fields["key"]
        out["keys"] = [k for k in key.split("\x01") if k] if "\x01" in key else key
    if "addr" in fields:
        out["addr"] = fields["addr"]


def _arguments(out: dict[str, Any], fields: dict[str, Any]) -> None:
    """The arguments of EXECVE in order; a long one comes in pieces `a1[0]=…`, `a1[1]=…`."""
    pieces: dict[int, dict[int, str]] = {}
    for key in fields:
        if (found := _ARGUMENT.match(key)) is not None:
            pieces.setdefault(int(found.group(1)), {})[int(found.group(2) or 0)] = fields[key]
    args = ["".join(pieces[i][j] for j in sorted(pieces[i])) for i in sorted(pieces)]
    if args:
        out["args"] = args
        out["command_line"] = " ".join(args)


def _address(out: dict[str, Any], digits: str) -> None:
    """The address of a socket call: `struct sockaddr` in hexadecimal (family in host order, then network
    order)."""
    import ipaddress

    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return
    family = int.from_bytes(raw[:2], "little")
    if family == 2 and len(raw) >= 8:
        out["remote_port"] = int.from_bytes(raw[2:4], "big")
        out["remote_ip"] = str(ipaddress.IPv4Address(raw[4:8]))
    elif family == 10 and len(raw) >= 24:
        out["remote_port"] = int.from_bytes(raw[2:4], "big")
        out["remote_ip"] = str(ipaddress.IPv6Address(raw[8:24]))
    elif family == 1:
        out["remote_path"] = raw[2:].split(b"\0")[0].decode("utf-8", "replace")


_JOIN_LIMIT = 64
"""Most records that are joined into one event."""


def join(events: Iterable[Event]) -> Iterator[Event]:
    """Consecutive records of one audit event (the same host and serial number) as one event.

    The first record that has a field decides it, the most specific category wins; `event.original` holds all
    records, one on a line. Events of other collectors pass unchanged.
    """
    held: list[Event] = []

    def mark(event: Event) -> tuple[Any, ...] | None:
        serial = event.get("event.sequence")
        if event.get("soc.collector") != "auditd" or serial is None:
            return None
        return serial, event.get("host.name"), event["@timestamp"]

    for event in events:
        if held and (mark(event) is None or mark(event) != mark(held[0]) or len(held) >= _JOIN_LIMIT):
            yield _joined(held)
            held = []
        if mark(event) is None:
            yield event
        else:
            held.append(event)
    if held:
        yield _joined(held)


_ORDER = ("EXECVE", "SYSCALL", "SOCKADDR")


def _joined(records: list[Event]) -> Event:
    if len(records) == 1:
        return records[0]
    kinds = [str(r.get("auditd.log.record_type", "")) for r in records]
    ranked = sorted(
        range(len(records)), key=lambda i: (_ORDER.index(kinds[i]) if kinds[i] in _ORDER else 9, i)
    )
    out: Event = {}
    for i in ranked:
        for name, value in records[i].items():
            out.setdefault(name, value)
    out["event.original"] = "\n".join(str(r["event.original"]) for r in records)
    out["auditd.log.record_type"] = list(dict.fromkeys(kinds))
    for name in ("related.ip", "related.user", "related.hosts", "file.path"):
        seen: dict[Any, None] = {}
        for record in records:
            value = record.get(name)
            seen.update(dict.fromkeys(value if isinstance(value, list) else [value]))
        seen.pop(None, None)
        if seen:
            out[name] = list(seen) if len(seen) > 1 else next(iter(seen))
    return out
