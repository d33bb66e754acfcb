"""Lists of values that rules name as `%name%` (modifier `expand`): administrators, servers, own networks.

Where a name is looked for, in this order:

1. `detect: {placeholders: {name: [values]}}` in soc.yml, or `{name: {file: PATH}}`;
2. `lists/name.txt` or `lists/name.yml` in the folders of rules, later folders first, so that a user's list
   takes the place of a shipped one;
3. `placeholders:` of the field pipelines.

A text file has one value on each line; empty lines and those that begin with `#` say nothing. A YAML file is
a list of values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soc import yamlio
from soc.errors import ContentError, Place, Problem

FOLDER = "lists"
"""Name of the folder, within a folder of rules, that holds lists."""

MOST = 10_000
"""Values of one list; what has more is a matter for indicators (docs/beyond-sigma.md)."""

Configured = Mapping[str, tuple[str, ...] | Path]
"""Name to its values, or to the file that holds them."""

ENDINGS = (".txt", ".yml", ".yaml")


@dataclass(frozen=True)
class Placeholders:
    """Values by name; `broken` is why a list cannot be used, by its name; `digest` stands for all of them."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def files_of(folders: Sequence[Path], configured: Configured) -> dict[str, Path]:
    """The file that holds the list of each name, without those whose values stand in the configuration."""
    out: dict[str, Path] = {}
    for folder in folders:
        for path in sorted((folder / FOLDER).glob("*")) if (folder / FOLDER).is_dir() else ():
            if path.suffix in ENDINGS and not path.name.startswith("."):
                out[path.stem] = path
    for name, given in configured.items():
        if isinstance(given, Path):
            out[name] = given
        else:
            out.pop(name, None)
    return out


def load_placeholders(folders: Sequence[Path], configured: Configured | None = None) -> Placeholders:
    """The lists of folders of rules, with those of the configuration over them. What cannot be read is in
    `.problems`."""
    configured = configured or {}
    values = {name: given for name, given in configured.items() if not isinstance(given, Path)}
    problems: list[Problem] = []
    broken: dict[str, str] = {}
    for name, path in files_of(folders, configured).items():
        try:
            values[name] = _read(path)
        except ContentError as error:
            problems += error.problems
            broken[name] = str(error)
    # also what is broken: what is said of a rule for that reason is kept with the rule
    known = repr((sorted(values.items()), sorted(broken.items())))
    digest = hashlib.blake2b(known.encode(), digest_size=16).hexdigest()
    return Placeholders(values, tuple(problems), broken, digest if values or broken else "")


def _read(path: Path) -> tuple[str, ...]:
    if path.suffix == ".txt":
        lines = (line.strip() for line in yamlio.read_text(path).splitlines())
        values = [line for line in lines if line and not line.startswith("#")]
    else:
        document = yamlio.load(path)
        listed = document.data
        if not isinstance(listed, list):
            raise ContentError([Problem("list", "a list of values is expected here", document.place())])
        for number, value in enumerate(listed):
            if not isinstance(value, (str, int, float)) or isinstance(value, bool):
                raise ContentError(
                    [Problem("list", "a text or a number is expected", document.place(number))]
                )
        values = [str(value) for value in listed]
    values = list(dict.fromkeys(values))
    if not values:
        raise ContentError([Problem("list", "the list holds no value", Place(str(path)))])
    if len(values) > MOST:
        message = f"{len(values):,} values; {MOST:,} are the most that a list may have"
        hint = "match a long list as indicators: docs/beyond-sigma.md"
        raise ContentError([Problem("list", message, Place(str(path)), hint=hint)])
    return tuple(values)
