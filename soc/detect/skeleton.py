"""A new rule to start from: a rule file and its samples, which lint and pass as they are."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from soc import yamlio
from soc.detect.samples import samples_path
from soc.errors import UsageError

if TYPE_CHECKING:
    from soc.config import Config

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*\Z")

RULE = """\
# Sigma: https://sigmahq.io/docs/basics/rules.html. Change it, then: soc rule lint FILE; soc rule test FILE
title: {title}
id: {id}
status: experimental
description: |
  Say what the rule finds, and why an analyst should care. This one finds a page called {marker} that
  the web server answered.
author: {author}
date: {date}
tags:                        # tactics and techniques of ATT&CK
  - attack.initial-access
  - attack.t1190
logsource:                   # which events: soc collector list shows what is collected
  category: webserver
detection:
  page:                      # a mapping: all must hold; a list of values: any of them
    cs-uri-stem|endswith: /{marker}
  answered:
    sc-status: 200
  condition: page and answered
falsepositives:
  - Say when it fires though nothing is wrong
level: low                   # informational, low, medium, high, critical
custom_attributes:
  soc.playbooks: [web-shell] # what to do: soc playbook list
  soc.group_by: [source.ip]  # hits that become one alert
  soc.window: 1h             # as long as they lie within this time
"""

SAMPLES = """\
# True log lines: two cases that fire, three that do not, one of these a near miss.
cases:
  - name: the page is there
    expect: fires
    collector: nginx
    lines:
      - '203.0.113.5 - - [02/Mar/2026:07:14:09 +0700] "GET /{marker} HTTP/1.1" 200 512 "-" "curl/8.5.0"'
  - name: the page is there, below a folder
    expect: fires
    collector: nginx
    lines:
      - '203.0.113.5 - - [02/Mar/2026:07:14:12 +0700] "GET /a/{marker} HTTP/1.1" 200 512 "-" "curl/8.5.0"'
  - name: the page is not there
    expect: near_miss
    collector: nginx
    lines:
      - '203.0.113.5 - - [02/Mar/2026:07:14:09 +0700] "GET /{marker} HTTP/1.1" 404 153 "-" "curl/8.5.0"'
  - name: another page
    expect: silent
    collector: nginx
    lines:
      - '198.51.100.7 - - [02/Mar/2026:07:15:00 +0700] "GET / HTTP/1.1" 200 8120 "-" "Mozilla/5.0"'
  - name: a longer name
    expect: silent
    collector: nginx
    lines:
      - '198.51.100.7 - - [02/Mar/2026:07:15:04 +0700] "GET /{marker}.html HTTP/1.1" 200 99 "-" "Mozilla/5.0"'
"""


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule to be written: its file and that of its samples, path and text."""

    rule_path: Path
    rule: str
    samples_path: Path
    samples: str


def draft(config: Config, name: str, *, title: str = "", to: Path | None = None, author: str = "") -> Draft:
    """A new rule of this name.

    It goes to `to` (a folder, or the file itself), else the first folder of rules of the configuration, else
    `rules` below the current folder. Raises `UsageError` for a name that cannot be one, or a file that is
    there already.
    """
    if not _NAME.match(name):
        raise UsageError(f"{name!r} is no name for a rule; use a-z, 0-9, _ and -, such as web_shell_upload")
    target = to or (config.rules[0] if config.rules else Path("rules"))
    path = target if target.suffix in {".yml", ".yaml"} else target / f"{name}.yml"
    for there in (path, samples_path(path)):
        if there.exists():
            raise UsageError(
                "this file is there already", place=there, hint="choose another name, or --to another folder"
            )
    words = name.replace("_", " ").replace("-", " ")
    values = {
        "title": _quoted(title or words[0].upper() + words[1:]),
        "id": str(uuid.uuid4()),
        "author": _quoted(author or "your name"),
        "date": datetime.now(UTC).date().isoformat(),
        "marker": name.replace("_", "-"),
    }
    return Draft(path, RULE.format(**values), samples_path(path), SAMPLES.format(**values))


def _quoted(text: str) -> str:
    """Text as a YAML scalar on one line."""
    words = " ".join(text.split())
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9 ().,/_-]*", words) and yamlio.parse(words, "").data == words
    return words if plain else "'" + words.replace("'", "''") + "'"


def write(new: Draft) -> None:
    """Write both files; their folders are made if need be."""
    new.samples_path.parent.mkdir(parents=True, exist_ok=True)
    new.rule_path.write_text(new.rule, encoding="utf-8")
    new.samples_path.write_text(new.samples, encoding="utf-8")
