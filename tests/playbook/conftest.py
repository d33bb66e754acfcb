"""A store with real alerts in it: events appended, a rule swept over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from soc.config import Config, StoreSettings
from soc.detect.ruleset import load_rules
from soc.detect.sweep import Start, sweep
from soc.playbook.engine import Engine
from soc.playbook.journal import StoreJournal
from soc.playbook.lint import lint_text
from soc.playbook.model import Playbook
from soc.playbook.runs import draft
from soc.playbook.state import Run
from soc.playbook.subject import Subject, of_alert
from soc.playbook.world import RealWorld
from soc.respond import alerts
from soc.store.contract import Incoming, Store
from soc.store.embedded import EmbeddedStore

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests over drawn values: a machine at work on other things is slow, which is no fault."""

RULE = """\
title: Script called below uploads
id: 5d1f0c5e-7a52-4f5e-9a39-0d2f6b1f7a11
status: test
description: A rule of this test
logsource: {category: webserver}
detection:
  script: {cs-uri-stem|contains: /upload/}
  condition: script
level: high
custom_attributes:
  soc.playbooks: [web-shell, malware-on-host]
"""


def web_event(number: int, **more: Any) -> Incoming:
    """A call of a script below /upload/, with an id of its own."""
    event = {
        "@timestamp": f"2026-03-02T07:14:{number:02}.000000Z",
        "soc.layer": 1,
        "event.dataset": "nginx.access",
        "url.path": "/upload/anh.php",
        "source.ip": "203.0.113.66",
        "http.response.status_code": 200,
        "host.name": "portal-01",
    }
    return Incoming(f"event-{number}", {**event, **more})


@dataclass
class Scene:
    """A store with one alert on five events, and what runs on it need."""

    folder: Path
    store: Store
    config: Config
    alert: str

    @property
    def subject(self) -> Subject:
        """The alert as playbooks see it."""
        return of_alert(self.store, self.alert)

    def engine(self, playbook: Playbook, *, approve: bool = False, **answers: Any) -> Engine:
        """An engine over the real store and real processes."""
        return Engine(
            playbook,
            StoreJournal(self.store),
            RealWorld(self.store, self.config),
            {name.replace("_", "-"): value for name, value in answers.items()},
            approve,
        )

    def begin(self, engine: Engine, **given: str) -> Run:
        """A new run, saved, at its first step."""
        journal = StoreJournal(self.store)
        run, _ = draft(
            engine.playbook,
            self.subject,
            given,
            run_id=journal.draw_id(),
            user=journal.user,
            now=engine.world.now(),
        )
        return journal.save(run, "run.start")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """One alert, raised by a real sweep over real events."""
    settings = StoreSettings(str(tmp_path / "store"))
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "rule.yml").write_text(RULE)
    with EmbeddedStore.open(settings, create=True) as store:
        store.append([web_event(number) for number in range(5)])
        loaded = load_rules([rules], cache=False)
        assert not loaded.problems
        sweep(store, loaded.rules, start=Start())
        (alert,) = alerts.list_alerts(store)
        yield Scene(tmp_path, store, Config(None, settings, state=tmp_path / "state"), alert.id)


def playbook(text: str) -> Playbook:
    """A playbook from text; it must lint without an error, but for ends that a test does not need."""
    found, problems = lint_text(text, "test.yml")
    assert not [p for p in problems if p.severity == "error" and p.kind != "unreachable_step"], problems
    assert found is not None
    return found


def ending(*steps: str, variables: str = "") -> Playbook:
    """A playbook of these steps, each YAML text, with the ends `good` and `bad` after them."""
    body = "".join(f"  {line}\n" for step in steps for line in step.strip("\n").splitlines())
    declared = "variables:\n" + "".join(f"  {line}\n" for line in variables.splitlines()) if variables else ""
    return playbook(
        f"name: t\ntitle: T\n{declared}steps:\n{body}"
        "  good: {type: end, outcome: good}\n  bad: {type: end, outcome: bad}\n"
    )
