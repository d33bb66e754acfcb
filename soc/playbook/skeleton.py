"""A new playbook to start from: it lints and its tests pass before a word of it is changed."""

from __future__ import annotations

from pathlib import Path

from soc.config import Config
from soc.errors import UsageError
from soc.playbook.reader import PLAYBOOK_NAME

TEMPLATE = """\
# A playbook: what a team does about one kind of alert, step by step.
# Check it with `soc playbook lint FILE`, try it with `soc playbook test FILE`, read it with
# `soc playbook show FILE`. Name it in a rule: custom_attributes: {soc.playbooks: [@NAME@]}.
name: '@NAME@'
title: @TITLE@
description: >-
  Say when to use it and what it reaches.
level: medium
tags: [attack.t1078]

# Values that steps use as {{ name }}. `from` names fields of the alert (alert.…, rule.…) and of its events
# (event.…), tried in order. Types: string, text, integer, boolean, ip, network, mac, host, domain, user,
# email, url, hash, sha256, path, uuid, time. A value that does not fit its type is never used.
variables:
  address:
    type: ip
    description: The address to look at
    from: [event.source.ip, alert.entity]
    required: true
  events_seen:
    type: integer
    description: Events from the address in the day before the alert

# The path begins at the first step and ends at an `end`. Each step has a short name.
steps:
  look:
    type: query
    title: What else did the address do?
    query: 'source.ip:"{{ address }}"'
    since: 24h            # before the first event of the alert
    count: events_seen
    next: busy

  busy:
    type: decision
    when: 'events_seen:>10'
    then: note
    else: judge

  judge:
    type: decision
    title: Known and expected?
    ask: '{{ address }} was seen {{ events_seen }} times. Is it known and expected?'
    choices:
      expected: harmless
      unknown: note

  note:
    type: command
    title: Put the address on the watch list
    # soc-action is always there; put your own program in its place, as a list of arguments, never a shell
    run: [soc-action, list, add, watch, '{{ address }}', --note, '{{ run_id }}']
    dry_run: 'would put {{ address }} on the list "watch"'
    timeout: 30
    idempotent: true
    reversible: true
    undo: [soc-action, list, remove, watch, '{{ address }}', --note, '{{ run_id }}']
    next: tell
    on_failure: tell

  tell:
    type: manual
    title: Tell the owner
    who: analyst
    instruction: |
      Tell the owner of the system about {{ address }} and write down whom you told.
    next: handled

  handled:
    type: end
    outcome: handled
    summary: 'Close the alert: soc alert close {{ subject_id }} --reason true-positive'

  harmless:
    type: end
    outcome: harmless
    summary: 'Close the alert: soc alert close {{ subject_id }} --reason benign'

# Each test is an alert, the events in the store, answers and what commands did; and the path that must
# come out. Together they should come through every step.
tests:
  - name: an expected address
    alert: {event: {source: {ip: 192.0.2.7}}}
    events:
      - {source.ip: 192.0.2.7, event.action: login}
    answers: {judge: expected}
    path: [look, busy, judge, harmless]
    outcome: harmless
  - name: an unknown address, and the list cannot be written
    alert: {event: {source: {ip: 192.0.2.7}}}
    answers: {judge: unknown, tell: done}
    commands: {note: {exit: 1}}
    path: [look, busy, judge, note, tell, handled]
    outcome: handled
"""


def text_for(name: str, title: str = "") -> str:
    """The text of a new playbook. Raises `UsageError` for a name that cannot be one."""
    if not PLAYBOOK_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a playbook", hint="use a-z, 0-9 and -, such as lost-laptop"
        )
    shown = "".join(c if c.isprintable() else " " for c in title).strip()
    shown = shown or name.replace("-", " ").capitalize()
    quoted = "'" + shown.replace("'", "''") + "'"
    return TEMPLATE.replace("@TITLE@", quoted).replace("@NAME@", name)


def target_for(config: Config, name: str, to: Path | None) -> Path:
    """Where a new playbook goes: `to` (a file or a folder), else the first folder of playbooks in soc.yml,
    else `./playbooks`. Raises `UsageError` when the file is there already."""
    folder = to or (config.playbooks[0] if config.playbooks else Path("playbooks"))
    path = folder if folder.suffix in {".yml", ".yaml"} else folder / f"{name}.yml"
    if path.exists():
        raise UsageError("the file is there already; it is not overwritten", place=path)
    return path
