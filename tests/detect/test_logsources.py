"""Log sources: what collectors declare and pipelines name becomes a condition, and nothing else is blind."""

from __future__ import annotations

from pathlib import Path

import pytest

from soc import content
from soc.collect.collector import load_collectors
from soc.detect.logsources import Declared, Logsources, declared_by, declared_in, satisfies
from soc.detect.pipelines import load_pipelines
from soc.detect.predicate import EVERYTHING, NOTHING, matches
from soc.detect.rule import Logsource

NGINX = Declared(Logsource(category="webserver", product="nginx"), "nginx.access", "nginx")
AUDIT = Declared(
    Logsource("process_creation", "linux"), "auditd.log", "auditd", (("event.type", ("start",)),)
)


@pytest.fixture(scope="module")
def shipped() -> Logsources:
    """The shipped collectors' declarations and the shipped pipelines."""
    rules = content.shipped("rules")
    declared = declared_by(load_collectors([content.shipped("collectors")]))
    return Logsources(declared, load_pipelines([rules]))


def test_all_that_a_rule_states_must_be_declared() -> None:
    """A rule may state less than a collector declares, never more."""
    declared = Logsource("webserver", "nginx", "access")
    assert satisfies(declared, Logsource(category="webserver"))
    assert satisfies(declared, Logsource(product="nginx", service="access"))
    assert not satisfies(declared, Logsource(product="apache"))
    assert not satisfies(Logsource(category="webserver"), Logsource("webserver", "nginx"))


def test_conditions() -> None:
    """The condition asks for the dataset, and for what narrows the declaration."""
    found = Logsources([NGINX, AUDIT])
    web, why = found.condition(Logsource(category="webserver"))
    assert not why
    assert matches(web, {"event.dataset": "nginx.access"})
    assert not matches(web, {"event.dataset": "nginx.error"})
    process, _ = found.condition(Logsource("process_creation", "linux"))
    assert matches(process, {"event.dataset": "auditd.log", "event.type": ["start", "info"]})
    assert not matches(process, {"event.dataset": "auditd.log", "event.type": "info"})


def test_unknown_is_blind_and_unstated_is_anything() -> None:
    """A log source that nobody provides has a reason; one that states nothing holds for every event."""
    found = Logsources([NGINX])
    condition, why = found.condition(Logsource(product="vax"))
    assert condition is NOTHING
    assert "product vax" in why
    assert found.condition(Logsource()) == (EVERYTHING, "")


SYSMON = "Microsoft-Windows-Sysmon/Operational"
WINDOWS = [
    (Logsource("process_creation", "windows"), {"winlog.channel": SYSMON, "event.code": "1"}, True),
    (Logsource("process_creation", "windows"), {"winlog.channel": "Security", "event.code": "4688"}, True),
    (Logsource("process_creation", "windows"), {"winlog.channel": "Security", "event.code": "1"}, False),
    (Logsource("process_creation", "windows"), {"winlog.channel": SYSMON, "event.code": 1}, True),
    (Logsource("process_creation", "windows"), {"winlog.channel": SYSMON, "event.code": "11"}, False),
    (Logsource("registry_event", "windows"), {"winlog.channel": SYSMON, "event.code": "14"}, True),
    (
        Logsource("ps_script", "windows"),
        {"winlog.channel": "PowerShellCore/Operational", "event.code": "4104"},
        True,
    ),
    (Logsource(product="windows", service="security"), {"winlog.channel": "Security"}, True),
    (Logsource(product="windows", service="system"), {"winlog.channel": "Security"}, False),
    (Logsource(product="windows"), {"winlog.channel": "Anything"}, True),
    (Logsource(product="windows"), {"event.dataset": "nginx.access"}, False),
]


@pytest.mark.parametrize(("logsource", "event", "belongs"), WINDOWS)
def test_windows(logsource: Logsource, event: dict[str, object], belongs: bool, shipped: Logsources) -> None:
    """Windows events are told by channel and event id, whoever brought them."""
    condition, why = shipped.condition(logsource)
    assert not why
    assert matches(condition, event) is belongs


@pytest.mark.parametrize(
    "logsource",
    [
        Logsource(category="webserver"),
        Logsource(service="nginx"),
        Logsource(service="apache"),
        Logsource(category="firewall"),
        Logsource(product="linux"),
        Logsource(product="linux", service="auditd"),
        Logsource(product="linux", service="sshd"),
        Logsource(product="linux", service="sudo"),
        Logsource(product="linux", service="auth"),
        Logsource("process_creation", "linux"),
    ],
)
def test_shipped_collectors_serve_the_common_log_sources(logsource: Logsource, shipped: Logsources) -> None:
    """Public rules for these log sources can see something."""
    assert shipped.condition(logsource)[1] == ""


def test_declarations_are_kept_until_a_collector_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading all collectors is done once; a changed, new or removed file makes it anew."""
    shipped_file = content.shipped("collectors") / "onsite" / "nginx.yml"
    folder, cache = tmp_path / "collectors", tmp_path / "cache"
    folder.mkdir()
    (folder / "nginx.yml").write_bytes(shipped_file.read_bytes())
    first = declared_in([folder], cache)
    assert {d.dataset for d in first} == {"nginx.access", "nginx.error"}
    with monkeypatch.context() as patch:
        patch.setattr("soc.collect.collector.load_collectors", None)
        assert declared_in([folder], cache) == first
    text = (folder / "nginx.yml").read_text()
    (folder / "nginx.yml").write_text(text.replace("category: webserver, dataset", "category: mine, dataset"))
    assert declared_in([folder], cache) != first
    (folder / "nginx.yml").unlink()
    assert declared_in([folder], cache) == []


@pytest.mark.parametrize(
    ("logsource", "event"),
    [
        (Logsource("", "linux", "sshd"), {"event.dataset": "system.auth", "process.name": "sshd"}),
        (Logsource("", "linux", "sudo"), {"event.dataset": "system.auth", "process.name": "sudo"}),
        (Logsource("", "linux", "cron"), {"event.dataset": "system.syslog", "process.name": "CRON"}),
        (Logsource("", "linux", "auditd"), {"event.dataset": "auditd.log"}),
        (Logsource("webserver", "", ""), {"event.dataset": "nginx.access"}),
        (Logsource("", "zeek", "conn"), {"event.dataset": "zeek.connection"}),
        (Logsource("dns", "", ""), {"event.dataset": "suricata.eve", "dns.question.name": "example.net"}),
        (Logsource("process_creation", "windows", ""), {"winlog.channel": "Security", "event.code": "4688"}),
        (Logsource("", "windows", "security"), {"winlog.channel": "Security"}),
    ],
    ids=str,
)
def test_what_beats_call_the_same_logs_belongs_to_the_same_sources(
    logsource: Logsource, event: dict[str, str], shipped: Logsources
) -> None:
    """Filebeat, Winlogbeat and Elastic Agent name datasets their own way; rules look at them all the same."""
    assert matches(shipped.condition(logsource)[0], event)
