"""Harmless logs of Linux hosts: sign-ins, sudo, cron, system messages, and the audit system."""

# ruff: noqa: E501 - log lines stand whole, as programs write them

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from soc.demo.benign.world import ADMINS, LINUX, World, syslog_time

_KEYS = (
    "SHA256:7nYbq4yq8Wm2uJ0Zr5kQhXoV9dT3sLcPfA1eG6iBxMw",
    "SHA256:Vt0Yx2mCwqk1YF9mJ8Hn3mZ7s0aXo1cQpLr5uTgB4eA",
    "SHA256:Qm3kz0bXh7Vw9eT2yLr8uJ5nPcS1dFgA6iB4oMxYtZk",
)
_GUESSERS = ("203.0.113.201", "192.0.2.144")
"""The two addresses whose guessing lasts until the server cuts them off."""
_GUESSED = ("admin", "user", "test", "ubuntu", "oracle", "git", "ftpuser")


def sshd(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """Administrators with keys, a few typing errors, and names guessed from the Internet in vain."""
    kinds = ((52, _signed_in), (30, _signed_out), (14, _guessed), (3, _mistyped), (1, _closed))
    for number, at in enumerate(world.moments(count)):
        kind = _cut_off if number % 700 == 350 else world.weighted(kinds)
        yield at, f"{syslog_time(at)} {world.pick(LINUX)} sshd[{world.below(31_000, 900)}]: {kind(world)}"


def _signed_in(world: World) -> str:
    number = world.below(len(ADMINS))
    name, address, uid = ADMINS[number]
    if world.chance(0.5):
        return f"pam_unix(sshd:session): session opened for user {name}(uid={uid}) by (uid=0)"
    return f"Accepted publickey for {name} from {address} port {world.below(60_000, 33_000)} ssh2: ED25519 {_KEYS[number]}"


def _signed_out(world: World) -> str:
    name, address, _ = world.pick(ADMINS)
    if world.chance(0.5):
        return f"pam_unix(sshd:session): session closed for user {name}"
    return f"Disconnected from user {name} {address} port {world.below(60_000, 33_000)}"


def _guessed(world: World) -> str:
    user, address, port = world.pick(_GUESSED), world.outside(), world.below(60_000, 33_000)
    return world.pick(
        (
            f"Invalid user {user} from {address} port {port}",
            f"Failed password for invalid user {user} from {address} port {port} ssh2",
            f"Connection closed by invalid user {user} {address} port {port} [preauth]",
        )
    )


def _mistyped(world: World) -> str:
    name, address, _ = world.pick(ADMINS)
    return f"Failed password for {name} from {address} port {world.below(60_000, 33_000)} ssh2"


def _closed(world: World) -> str:
    return f"Connection closed by {world.outside()} port {world.below(60_000, 33_000)} [preauth]"


def _cut_off(world: World) -> str:
    user, address = world.pick(_GUESSED), world.pick(_GUESSERS)
    port = world.below(60_000, 33_000)
    return f"error: maximum authentication attempts exceeded for invalid user {user} from {address} port {port} ssh2 [preauth]"


_COMMANDS = (
    "/usr/bin/systemctl restart nginx", "/usr/bin/systemctl status postfix", "/usr/bin/journalctl -u nginx -n 100",
    "/usr/bin/apt update", "/usr/bin/apt upgrade -y", "/usr/bin/tail -f /var/log/nginx/error.log", "/usr/sbin/nginx -t",
    "/usr/bin/find /var/log -name *.gz -mtime +90 -exec ls -l {} ;", "/usr/bin/less /var/log/mail.log", "/usr/sbin/ufw status",
)  # fmt: skip


def sudo(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """Administrators at work, and the sessions that cron opens."""
    for at in world.moments(count):
        host, pid = world.pick(LINUX), world.below(31_000, 900)
        name, _, uid = world.pick(ADMINS)
        kind = world.weighted(((40, "cron"), (28, "command"), (30, "session"), (2, "mistyped")))
        if kind == "cron":
            text = world.pick(("opened for user root(uid=0) by (uid=0)", "closed for user root"))
            yield at, f"{syslog_time(at)} {host} CRON[{pid}]: pam_unix(cron:session): session {text}"
            continue
        if kind == "command":
            text = f"{name:>8} : TTY=pts/{world.below(4)} ; PWD=/home/{name} ; USER=root ; COMMAND={world.pick(_COMMANDS)}"
        elif kind == "session":
            text = world.pick(
                (
                    f"pam_unix(sudo:session): session opened for user root(uid=0) by {name}(uid={uid})",
                    "pam_unix(sudo:session): session closed for user root",
                )
            )
        else:
            text = (
                f"{name:>8} : 1 incorrect password attempt ; TTY=pts/0 ; PWD=/home/{name} ; USER=root ;"
                f" COMMAND={world.pick(_COMMANDS)}"
            )
        yield at, f"{syslog_time(at)} {host} sudo[{pid}]: {text}"


_SYSTEM = (
    (10, "systemd[1]: Started Session {n} of user lan.nt."),
    (6, "systemd[1]: Starting Daily apt download activities..."),
    (
        8,
        "CRON[{n}]: (root) CMD (test -x /usr/sbin/anacron || {{ cd / && run-parts --report /etc/cron.daily; }})",
    ),
    (8, "CRON[{n}]: (www-data) CMD (php -f /var/www/portal/cron.php)"),
    (4, "CRON[{n}]: (root) CMD (curl -fsS -o /srv/lists/botnet.txt https://feeds.example.org/botnet.txt)"),
    (4, "CRON[{n}]: (root) CMD (find /tmp -mtime +7 -delete)"),
    (8, "chronyd[611]: Selected source 192.0.2.123 (ntp.example.org)"),
    (8, "dhclient[702]: bound to 10.20.8.{m} -- renewal in {n} seconds."),
    (6, "kernel: EXT4-fs (dm-0): mounted filesystem with ordered data mode. Quota mode: none."),
    (4, "snmpd[890]: Connection from UDP: [10.20.1.5]:{n}->[10.20.8.{m}]:161"),
    (1, "newsyslog[{n}]: logfile turned over due to size>1000K"),
    (
        1,
        "useradd[{n}]: new user: name=thuy.dt, UID=1007, GID=1007, home=/home/thuy.dt, shell=/bin/bash, from=/dev/pts/0",
    ),
)


def syslog(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """What else hosts write into their system log."""
    for at in world.moments(count):
        text = world.weighted(_SYSTEM).format(n=world.below(31_000, 1_000), m=world.below(250, 2))
        yield at, f"{syslog_time(at)} {world.pick(LINUX)} {text}"


_PROGRAMS = (
    ("/usr/bin/ls", "ls", ("ls", "-l", "/var/www/portal")),
    ("/usr/bin/systemctl", "systemctl", ("systemctl", "status", "nginx")),
    ("/usr/bin/tail", "tail", ("tail", "-n", "50", "/var/log/syslog")),
    ("/usr/bin/grep", "grep", ("grep", "-c", "error", "/var/log/nginx/error.log")),
    ("/usr/bin/chmod", "chmod", ("chmod", "0644", "/srv/export/list.csv")),
    ("/usr/bin/curl", "curl", ("curl", "-fsS", "https://portal.bo.example/healthz")),
    ("/usr/bin/crontab", "crontab", ("crontab", "-l")),
)
_ACCOUNT = (
    "type=USER_ACCT msg=audit({t}): pid={p} uid=0 auid=4294967295 ses=4294967295 subj=unconfined msg='op=PAM:accounting"
    ' grantors=pam_permit acct="root" exe="/usr/sbin/cron" hostname=? addr=? terminal=cron res=success\''
)
_LOGIN = (
    "type=USER_LOGIN msg=audit({t}): pid={p} uid=0 auid={u} ses={s} subj=unconfined msg='op=login id={u}"
    ' exe="/usr/sbin/sshd" hostname={a} addr={a} terminal=/dev/pts/0 res=success\''
)


_MAINTENANCE = (
    'type=PATH msg=audit({t}): item=1 name="/etc/cron.d/php.dpkg-new" inode=4711 dev=fd:00 mode=0100644 ouid=0 ogid=0 nametype=CREATE',
    'type=PATH msg=audit({t}): item=0 name="/root/.ssh/authorized_keys" inode=4712 dev=fd:00 mode=0100600 ouid=0 ogid=0 nametype=NORMAL',
    'type=EXECVE msg=audit({t}): argc=3 a0="rm" a1="-f" a2="/var/log/nginx/access.log.52.gz"',
    'type=EXECVE msg=audit({t}): argc=3 a0="chmod" a1="0755" a2="/srv/export/run.sh"',
    'type=EXECVE msg=audit({t}): argc=4 a0="wget" a1="https://downloads.example.org/tool.tar.gz" a2="-P" a3="/home/lan.nt/"',
    'type=EXECVE msg=audit({t}): argc=2 a0="auditctl" a1="-l"',
    (
        "type=SYSCALL msg=audit({t}): arch=c000003e syscall=59 success=yes exit=0 a0=55d0 a1=55d1 a2=55d2 a3=8 items=2 ppid=880"
        ' pid={p} auid=33 uid=33 gid=33 euid=33 tty=(none) ses=31 comm="sh" exe="/usr/bin/dash" subj=unconfined key="exec"'
    ),
)
"""What maintenance leaves behind: packages, rotation, and jobs of the web server's account."""


def auditd(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """Programs that administrators start, and sign-ins; the records of one event stand together."""
    made, serial = 0, world.below(9_000, 1_000)
    for at in world.moments(count // 3 + 1):
        serial += world.below(6, 1)
        for line in _audit_event(world, f"{at.timestamp():.3f}:{serial}"):
            if made < count:
                yield at, line
            made += 1


def _audit_event(world: World, stamp: str) -> list[str]:
    pid, session = world.below(31_000, 900), world.below(400, 1)
    _, address, uid = world.pick(ADMINS)
    if world.chance(0.04):
        return [world.pick(_MAINTENANCE).format(t=stamp, p=pid)]
    if world.chance(0.25):
        return [_ACCOUNT.format(t=stamp, p=pid), _LOGIN.format(t=stamp, p=pid, u=uid, s=session, a=address)]
    exe, name, args = world.pick(_PROGRAMS)
    ids = " ".join(
        f"{field}={uid}" for field in ("auid", "uid", "gid", "euid", "suid", "fsuid", "egid", "sgid", "fsgid")
    )
    words = " ".join(f'a{i}="{word}"' for i, word in enumerate(args))
    return [
        (
            f"type=SYSCALL msg=audit({stamp}): arch=c000003e syscall=59 success=yes exit=0 a0={world.hex(12)} a1={world.hex(12)}"
            f' a2={world.hex(12)} a3=8 items=2 ppid={pid - 1} pid={pid} {ids} tty=pts0 ses={session} comm="{name}"'
            f' exe="{exe}" subj=unconfined key="exec"'
        ),
        f"type=EXECVE msg=audit({stamp}): argc={len(args)} {words}",
        f'type=CWD msg=audit({stamp}): cwd="/home/admin"',
        (
            f'type=PATH msg=audit({stamp}): item=0 name="{exe}" inode={world.below(900_000)} dev=fd:00 mode=0100755 ouid=0'
            " ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
        ),
    ]


_SENSED = (
    (60, (3, "5715", "sshd: authentication success.")),
    (20, (5, "5710", "sshd: Attempt to login using a non-existent user")),
    (15, (7, "550", "Integrity checksum changed.")),
    (5, (10, "5712", "sshd: brute force trying to get access to the system.")),
)


def wazuh(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """The host sensor: sign-ins, changed files, and guessing from outside that it counts itself."""
    for serial, at in enumerate(world.moments(count)):
        level, number, text = world.weighted(_SENSED)
        document = {
            "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}{at:%z}",
            "rule": {"level": level, "description": text, "id": number, "groups": ["syslog"]},
            "agent": {"id": f"{world.below(9, 1):03d}", "name": world.pick(LINUX)},
            "manager": {"name": "siem1"},
            "id": f"{at.timestamp():.0f}.{serial}",
            "location": "/var/log/auth.log",
        }
        yield at, json.dumps(document, separators=(",", ":"))
