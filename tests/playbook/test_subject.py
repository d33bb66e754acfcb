"""Where variables get their values: what a person gave, the alert, the default."""

from __future__ import annotations

import pytest

from soc.errors import UsageError
from soc.playbook.model import Playbook
from soc.playbook.subject import Resolved, Subject, of_case, resolve
from soc.store.contract import Write
from tests.playbook.conftest import Scene, playbook

SUBJECT = Subject(
    kind="alert",
    id="A-7F3K",
    title="T",
    fields={"alert.entity": "portal-01", "rule.tags": ["a", "b"]},
    events=(
        {"source.ip": "203.0.113.66", "user.name": "-rf", "event.action": "login"},
        {"source.ip": ["203.0.113.67", "203.0.113.66"], "user.name": "an", "host.name": None},
    ),
)


def declared(variables: str) -> Playbook:
    """A playbook with these variables, one a line."""
    lines = "".join(f"  {line}\n" for line in variables.splitlines())
    head = "name: t\ntitle: T\nvariables:\n" + lines
    return playbook(
        head + "steps:\n  a: {type: manual, instruction: x, next: z}\n  z: {type: end, outcome: z}\n"
    )


def found(variables: str, **given: object) -> Resolved:
    """The values that a run of `SUBJECT` begins with."""
    return resolve(declared(variables), SUBJECT, given)


def test_from_the_alert() -> None:
    """Fields of the alert, the rule and the events, the first source with a value that fits."""
    values = found(
        "host: {type: host, from: [event.host.name, alert.entity]}\n"
        "tag: {type: string, from: rule.tags}\n"
        "ip: {type: ip, from: event.source.ip}\n"
        "ips: {type: ip, list: true, from: event.source.ip}\n"
        "action: {type: string, from: event.event.action}\n"
        "same: {type: string, from: event.action}\n"
        "none: {type: string, from: event.no.such}"
    ).values
    assert values == {
        "host": "portal-01",
        "tag": "a",
        "ip": "203.0.113.66",
        "ips": ["203.0.113.66", "203.0.113.67"],
        "action": "login",
        "same": "login",
    }


def test_hostile_values_are_passed_over() -> None:
    """A value of a log that does not fit its type is left out, and a remark says so without showing it."""
    resolved = found("user: {type: user, from: event.user.name}")
    assert resolved.values == {"user": "an"}
    assert "left out" in resolved.remarks[0]
    assert "-rf" not in resolved.remarks[0]


def test_several_values() -> None:
    """Where one value is wanted and there are several, the first is taken and a remark says so."""
    resolved = found("ip: {type: ip, from: event.source.ip}")
    assert resolved.remarks == ("ip from event.source.ip: the first of 2 values",)
    assert resolved.origins == {"ip": "event.source.ip"}


def test_given_wins_and_default_is_last() -> None:
    """What a person gives stands before the alert, the default behind it."""
    variables = "ip: {type: ip, from: event.source.ip, default: 192.0.2.1}"
    assert found(variables, ip="192.0.2.9").values["ip"] == "192.0.2.9"
    assert found(variables).values["ip"] == "203.0.113.66"
    assert found("ip: {type: ip, from: event.x, default: 192.0.2.1}").values["ip"] == "192.0.2.1"


def test_all_faults_at_once() -> None:
    """Unknown, misfitting and missing variables are named together, with the options to add."""
    with pytest.raises(UsageError) as caught:
        found("a: {type: ip, required: true}\nb: {type: integer}", b="x", c="1")
    message = caught.value.message
    assert "'c' is not a variable" in message
    assert "b is not a whole number" in message
    assert "a is needed" in message
    assert "--var a=" in caught.value.hint


def test_alert(scene: Scene) -> None:
    """An alert of the store gives its entity, rule, times, events and playbooks."""
    subject = scene.subject
    assert subject.values("alert.entity") == ["portal-01"]
    assert subject.values("rule.title") == ["Script called below uploads"]
    assert subject.values("event.source.ip") == ["203.0.113.66"]
    assert subject.values("event.http.response.status_code") == [200]
    assert (subject.first, subject.last) == ("2026-03-02T07:14:00.000000Z", "2026-03-02T07:14:04.000000Z")
    assert subject.playbooks == ("web-shell", "malware-on-host")


def test_case(scene: Scene) -> None:
    """A case is taken when there is a document of that kind, else the error says so."""
    with pytest.raises(UsageError, match="no case"):
        of_case(scene.store, "C-2026-001")
    scene.store.write([Write("case", "C-2026-001", {"title": "Portal", "host": "portal-01"}, 0)])
    subject = of_case(scene.store, "C-2026-001")
    assert (subject.title, subject.values("case.host")) == ("Portal", ["portal-01"])
