"""Harmless mail: letters in and out, spam that is refused, and a few telephones with an old password."""

# ruff: noqa: E501 - log lines stand whole, as programs write them

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from soc.demo.benign.world import STAFF, World, syslog_time

_FORGETFUL = ("198.51.100.140", "203.0.113.176", "192.0.2.201")
"""Three members of staff on the road whose telephones still hold the password of last month."""

_LETTERS = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"


def _queue_id(world: World) -> str:
    return "4Tk" + "".join(world.pick(_LETTERS) for _ in range(10)) + "z9"


def postfix(world: World, count: int) -> Iterator[tuple[datetime, str]]:
    """The mail server; the lines of one message stand near each other, as they do."""
    out: list[tuple[datetime, str]] = []
    kinds = ((34, _incoming), (40, _outgoing), (20, _refused), (5, _visitor), (1, _filtered))
    while len(out) < count:
        at, pid = world.moment(), world.below(31_000, 900)
        kind = _forgetful if world.chance(0.002) else world.weighted(kinds)
        for line in kind(world):
            at += timedelta(seconds=world.dice.random() * 2)
            program, _, text = line.partition("|")
            out.append((at, f"{syslog_time(at)} mail01 postfix/{program}[{pid}]: {text}"))
    out.sort()
    yield from out[:count]


def _delivery(world: World, queue: str, sender: str, recipient: str, relay: str) -> list[str]:
    size, count = world.below(90_000, 1_500), world.weighted(((90, 1), (9, 3), (1, 24)))
    delay = f"{world.dice.random() * 3:.2f}"
    return [
        f"cleanup|{queue}: message-id=<{world.hex(12)}@{sender.partition('@')[2]}>",
        f"qmgr|{queue}: from=<{sender}>, size={size}, nrcpt={count} (queue active)",
        (
            f"{relay.partition('|')[0]}|{queue}: to=<{recipient}>, relay={relay.partition('|')[2]}, delay={delay},"
            f" delays=0.1/0/0.2/{delay}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {world.hex(10).upper()})"
        ),
        f"qmgr|{queue}: removed",
    ]


def _incoming(world: World) -> list[str]:
    queue, client = (
        _queue_id(world),
        f"mx{world.below(9, 1)}.example.{world.pick(('com', 'net', 'org'))}[{world.outside()}]",
    )
    sender, recipient = (
        f"{world.pick(('info', 'office', 'sales'))}@example.com",
        f"{world.pick(STAFF)}@bo.example",
    )
    relay = "lmtp|mail01.bo.example[private/dovecot-lmtp]"
    return [
        f"smtpd|connect from {client}",
        f"smtpd|{queue}: client={client}",
        *_delivery(world, queue, sender, recipient, relay),
        f"smtpd|disconnect from {client} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
    ]


def _outgoing(world: World) -> list[str]:
    queue, user = _queue_id(world), f"{world.pick(STAFF)}@bo.example"
    client = f"unknown[{world.desk()}]"
    relay = f"smtp|mx1.example.org[192.0.2.{world.below(60, 20)}]:25"
    return [
        f"submission/smtpd|connect from {client}",
        f"submission/smtpd|{queue}: client={client}, sasl_method=PLAIN, sasl_username={user}",
        *_delivery(world, queue, user, "partner@example.org", relay),
        f"submission/smtpd|disconnect from {client} ehlo=2 starttls=1 auth=1 mail=1 rcpt=1 data=1 quit=1 commands=8",
    ]


def _refused(world: World) -> list[str]:
    client = f"unknown[{world.outside()}]"
    tail = "from=<x@example.net> to=<{to}> proto=ESMTP helo=<localhost>"
    reason = world.pick(
        (
            "450 4.7.25 Client host rejected: cannot find your hostname; "
            + tail.format(to="office@bo.example"),
            "550 5.1.1 <old@bo.example>: Recipient address rejected: User unknown in virtual mailbox table; "
            + tail.format(to="old@bo.example"),
            "454 4.7.1 <a@example.org>: Relay access denied; " + tail.format(to="a@example.org"),
            "450 4.1.8 <x@nowhere.example>: Sender address rejected: Domain not found; "
            + tail.format(to="office@bo.example"),
        )
    )
    return [
        f"smtpd|connect from {client}",
        f"smtpd|NOQUEUE: reject: RCPT from {client}: {reason}",
        f"smtpd|disconnect from {client} ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4",
    ]


def _filtered(world: World) -> list[str]:
    queue = _queue_id(world)
    tail = (
        f"from mx2.example.net[{world.outside()}]; from=<office@example.net> to=<office@bo.example> proto=ESMTP"
        " helo=<mx2.example.net>"
    )
    return world.pick(
        (
            [f'cleanup|{queue}: warning: header Content-Type: application/pdf; name="setup.exe.pdf" {tail}'],
            [f"cleanup|{queue}: reject: header Subject: You have won {tail}: 5.7.1 spam"],
            [f"qmgr|{queue}: from=<bantin@bo.example>, size=126120, nrcpt=3120 (queue active)"],
            [f"qmgr|{queue}: from=<vanphong@bo.example>, size=26120, nrcpt=140 (queue active)"],
        )
    )


def _visitor(world: World) -> list[str]:
    client = f"unknown[{world.outside()}]"
    return [f"smtpd|connect from {client}", f"smtpd|lost connection after CONNECT from {client}"]


def _forgetful(world: World) -> list[str]:
    client = f"unknown[{world.pick(_FORGETFUL)}]"
    return [
        f"submission/smtpd|connect from {client}",
        f"submission/smtpd|warning: {client}: SASL PLAIN authentication failed: authentication failure",
        f"submission/smtpd|disconnect from {client} ehlo=1 auth=0/1 quit=1 commands=2/3",
    ]
