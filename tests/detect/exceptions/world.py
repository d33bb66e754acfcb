"""A rule with exceptions, loaded from files as in earnest, for events of `tests.detect.world`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

from soc.detect.logsources import Declared
from soc.detect.rule import Logsource
from soc.detect.ruleset import Ruleset, load_rules
from tests.detect import rules

RULE = "11111111-2222-4333-8444-555555555555"
BACKUP = "aaaaaaaa-0000-4000-8000-000000000001"
DECLARED = (Declared(Logsource(category="test"), "nginx.access", "test"),)
SHELL = rules.text(
    "web:\n  url.query|contains: cmd=\ncondition: web",
    title="Web shell",
    id=RULE,
    more="name: web_shell\ncustom_attributes: {soc.window: 1h}\n",
)


def exception(
    selection: str = "host.name: web01",
    *,
    expires: str = "2026-03-02T08:00:00Z",
    id: str = BACKUP,  # noqa: A002 - Sigma's word
    target: str = f"[{RULE}]",
    more: str = "",
) -> str:
    """The text of an exception file."""
    attributes = "soc.owner: huong\nsoc.reason: the backup job\nsoc.ticket: T-1\n"
    attributes += f"soc.expires: '{expires}'\n" if expires else ""
    return (
        f"title: Exception {id[:4]}\nid: {id}\nlogsource: {{category: test}}\ndate: 2026-03-01\n"
        f"filter:\n  rules: {target}\n  selection:\n{indent(dedent(selection), '    ')}\n"
        f"  condition: not selection\n"
        f"custom_attributes:\n{indent(attributes + more, '  ')}"
    )


def load(folder: Path, *texts: str, rule: str = SHELL) -> Ruleset:
    """The rule and exceptions, from files below `folder` that replace earlier ones."""
    (folder / "exceptions").mkdir(parents=True, exist_ok=True)
    for old in folder.rglob("*.yml"):
        old.unlink()
    (folder / "web_shell.yml").write_text(rule, encoding="utf-8")
    for number, text in enumerate(texts):
        (folder / "exceptions" / f"e{number}.yml").write_text(text, encoding="utf-8")
    return load_rules([folder], declared=DECLARED, cache=False)
