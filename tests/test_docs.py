"""The documentation is true: its commands exist, and pages that lead through a task run from end to end."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soc.cli.app import DEFAULT_VERBS, NOUNS, load, singular

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of `soc` in a code block, with the page it stands on."""
    for page in PAGES:
        for _, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in text.replace("\\\n", " ").splitlines():
                found = re.match(r"(?:\$ )?(soc [a-z].*)", line.strip())
                if found:
                    yield str(page.relative_to(ROOT)), found[1]


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_every_command_in_the_documentation_exists(page: str, line: str) -> None:
    """Noun, verb and options of each line are those of the code."""
    words = shlex.split(line.split(" | ")[0].split(" > ")[0], comments=True)[1:]
    name = singular(words[0])
    assert name in NOUNS, f"{page}: {line}"
    command = load(name)
    inner = getattr(command, "commands", None)
    if inner is not None:
        verbs = [word for word in words[1:] if word in inner]
        if not verbs:
            default = "list" if words[0] != name else DEFAULT_VERBS.get(name)
            assert default, f"{page}: no verb in: {line}"
            verbs = [default]
        command = inner[verbs[0]]
    known = {option for param in command.params for option in [*param.opts, *param.secondary_opts]} | {
        "--help"
    }
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{page}: {word} in: {line}"


def test_no_page_holds_the_marks_of_a_merge() -> None:
    """Two people wrote on one page at once, and the marks of the conflict went out with it."""
    marks = re.compile(r"^(<{7}|={7}|>{7})(?: |$)", re.MULTILINE)
    pages = [*PAGES, ROOT / "CHANGELOG.md"]
    assert [page.name for page in pages if marks.search(page.read_text(encoding="utf-8"))] == []


def test_every_link_between_pages_leads_somewhere() -> None:
    """Relative links point at files that are there."""
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    targets = [(page, target) for page in PAGES for target in link.findall(page.read_text(encoding="utf-8"))]
    assert targets
    assert [(page.name, target) for page, target in targets if not (page.parent / target).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ["tutorial.md", "writing-rules.md"])
def test_the_page_runs(page: str, tmp_path: Path) -> None:
    """Each `sh` block runs as it stands, in one shell, in an empty folder.

    A `yaml` or `text` block whose first line is a comment with a file's name becomes that file.

    A command that is meant to end otherwise than with 0 says so: `# exit code 8`.
    """
    script = ["set -u", "export COLUMNS=120"]
    for kind, text in BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        if kind == "sh":
            script += [_checked(line) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
        elif kind in {"yaml", "text"} and (named := re.match(r"# (\S+)\n", text)):
            path = named[1]
            body = text if kind == "yaml" else text.partition("\n")[2]
            script.append(f"mkdir -p $(dirname {path}); cat > {path} <<'END_OF_FILE'\n{body}END_OF_FILE")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
    assert "Traceback" not in done.stderr


def _checked(line: str) -> str:
    """A shell line that stops the script, naming itself, when it ends otherwise than it says."""
    wanted = re.search(r"# exit code (\d+)", line)
    code = wanted[1] if wanted else "0"
    name = shlex.quote(line)
    return f"{line}\ncode=$?; [ $code = {code} ] || {{ echo {name}: exit $code >&2; exit 1; }}"
