"""Writes the reference of commands from the code: `python -m soc.cli.reference FOLDER`.

One page for each noun and one with the whole tree; a test compares them with what the code says now.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soc.cli.app import NOUNS, load

_COMMON = {"output", "fields", "config", "store", "space", "quiet", "verbose", "help"}

EXIT_CODES = """\
# Exit codes

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed |
| 2 | wrong usage, cancelled, or a prompt without a terminal |
| 3 | conflict: somebody else changed the same thing first |
| 4 | not authorised; the message names the missing role |
| 5 | partly done; the output says which part |
| 8 | waiting for a person |
"""

EVERYWHERE = """\
# Options that stand everywhere

| option | meaning |
| --- | --- |
| `--output table\\|json\\|jsonl\\|csv` | how to print results; `SOC_OUTPUT` presets it |
| `--fields a,b` | only these fields; `--fields ''` lists them |
| `--config FILE` | the configuration file; else `SOC_CONFIG`, `./soc.yml`, the platform's folder |
| `--store PATH\\|URL` | the store; else `SOC_STORE`, the configuration, the platform's data folder |
| `--space NAME` | a space within the store, such as a drill's; else `SOC_SPACE` |
| `-q`, `--quiet` | no remarks, only results |
| `-v`, `--verbose` | more remarks |

`NO_COLOR` switches colours off. There are no colours, bars or prompts where the output is not a terminal.
"""


def pages() -> dict[str, str]:
    """File name to text of every page of the reference."""
    out = {"exit-codes.md": EXIT_CODES, "everywhere.md": EVERYWHERE, "README.md": _tree()}
    out.update({f"{name}.md": _noun_page(name) for name in NOUNS})
    return out


def verbs(name: str) -> list[str]:
    """The visible verbs of a noun; empty for a top-level verb."""
    commands = getattr(load(name), "commands", {})
    return [verb for verb, command in commands.items() if not command.hidden]


def _tree() -> str:
    lines = ["# Commands", "", "Made from the code by `make docs`.", "", "| command | |", "| --- | --- |"]
    for name, line in NOUNS.items():
        said = ", ".join(f"`{verb}`" for verb in verbs(name))
        lines.append(f"| [`soc {name}`]({name}.md) {said} | {line} |")
    also = "See also [options that stand everywhere](everywhere.md) and [exit codes](exit-codes.md)."
    return "\n".join([*lines, "", also, ""])


def _noun_page(name: str) -> str:
    command = load(name)
    lines = [f"# soc {name}", "", f"{NOUNS[name]}.", ""]
    commands = getattr(command, "commands", None)
    if commands is None:
        lines += _command(f"soc {name}", command, heading=False)
    else:
        for verb, inner in commands.items():
            if not inner.hidden:
                lines += _command(f"soc {name} {verb}", inner)
    return "\n".join(lines).rstrip() + "\n"


def _command(title: str, command: Any, *, heading: bool = True) -> list[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name not in _COMMON]
    usage = " ".join([title, *(_argument(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"## {title}", ""] if heading else []
    lines += ["```", usage, "```", ""]
    lines += list(_prose(command.help or ""))
    if arguments or options:
        lines += ["| argument or option | meaning |", "| --- | --- |"]
        for param in [*arguments, *options]:
            names = _argument(param) if param in arguments else ", ".join(param.opts)
            meaning = (getattr(param, "help", "") or "").replace("|", "\\|")
            lines.append(f"| `{names.replace('|', chr(92) + '|')}` | {meaning} |")
        lines.append("")
    return lines


def _argument(param: Any) -> str:
    name = (param.metavar or param.name or "").strip("[]").upper()
    name += "…" if param.nargs == -1 else ""
    return name if param.required else f"[{name}]"


def _prose(text: str) -> Iterator[str]:
    """The help text, with its examples as a block of code."""
    before, marker, after = text.partition("Examples:")
    yield before.strip()
    yield ""
    if marker:
        yield "```"
        yield from (line.strip() for line in after.splitlines() if line.strip())
        yield "```"
        yield ""


def write(folder: Path) -> None:
    """Write every page into a folder, and remove pages of commands that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for stale in folder.glob("*.md"):
        if stale.name not in wanted:
            stale.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
