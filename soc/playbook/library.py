"""The playbooks there are: shipped ones, and a user's own, which take the place of shipped ones by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from soc import content
from soc.config import Config
from soc.errors import ContentError, Place, Problem, Severity, UsageError
from soc.playbook.lint import lint_file
from soc.playbook.model import Playbook, Step


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: the playbook in it, if it can be read at all, and what is wrong with it."""

    path: Path
    playbook: Playbook | None
    problems: tuple[Problem, ...]
    shipped: bool

    @property
    def name(self) -> str:
        """The playbook's name, or the file's where it has none."""
        return (self.playbook.name if self.playbook else "") or self.path.stem

    @property
    def usable(self) -> bool:
        """Whether it can be run."""
        return self.playbook is not None and not any(p.severity is Severity.ERROR for p in self.problems)


def folders(config: Config) -> list[Path]:
    """Where playbooks are looked for, the shipped folder first."""
    return [content.shipped("playbooks"), *config.playbooks]


def load(paths: Sequence[Path]) -> dict[str, Entry]:
    """The playbooks below some folders, by name; later folders override, one that fails hides none."""
    out: dict[str, Entry] = {}
    shipped = content.shipped("playbooks")
    for folder in paths:
        here: dict[str, Entry] = {}
        for path in content.files(folder) if folder.exists() else ():
            if "drills" in path.relative_to(folder).parts[:-1]:
                continue  # scenarios of drills stand beside playbooks and are another kind of content
            entry = load_file(path, shipped=folder == shipped)
            if entry.name in here:
                message = f"the name {entry.name!r} stands in two files; the other is {here[entry.name].path}"
                twice = Problem("duplicate_name", message, Place(str(path)))
                entry = Entry(path, None, (*entry.problems, twice), entry.shipped)
                here[f"{entry.name} ({path.name})"] = entry
            else:
                here[entry.name] = entry
        out |= here
    return out


def load_file(path: Path, *, shipped: bool = False) -> Entry:
    """One file."""
    playbook, problems = lint_file(path)
    return Entry(path, playbook, tuple(problems), shipped)


def playbooks_for(config: Config) -> dict[str, Entry]:
    """The shipped playbooks and the user's."""
    return load(folders(config))


def find(config: Config, wanted: str) -> Entry:
    """A playbook by name, or by the path of its file. Raises `UsageError` when there is none."""
    path = Path(wanted)
    if path.suffix in {".yml", ".yaml", ".json"} or "/" in wanted:
        if not path.is_file():
            raise UsageError("there is no such file", place=path, hint="soc playbook list")
        return load_file(path)
    known = playbooks_for(config)
    if wanted in known:
        return known[wanted]
    import difflib

    close = difflib.get_close_matches(wanted, known, 1)
    near = f"; did you mean {close[0]}?" if close else ""
    raise UsageError(f"there is no playbook {wanted!r}{near}", hint="soc playbook list")


def usable(config: Config, wanted: str) -> Playbook:
    """As `find`, for one that is to be run. Raises `ContentError` when something is wrong with it."""
    entry = find(config, wanted)
    errors = [p for p in entry.problems if p.severity is Severity.ERROR]
    if entry.playbook is None or errors:
        raise ContentError(errors or list(entry.problems), hint=f"soc playbook lint {entry.path}")
    return entry.playbook


def row(entry: Entry) -> dict[str, Any]:
    """One playbook in a listing."""
    playbook = entry.playbook
    errors = sum(p.severity is Severity.ERROR for p in entry.problems)
    return {
        "name": entry.name,
        "title": playbook.title if playbook else "",
        "level": playbook.level if playbook else "",
        "tags": list(playbook.tags) if playbook else [],
        "steps": len(playbook.steps) if playbook else 0,
        "tests": len(playbook.tests) if playbook else 0,
        "version": playbook.version if playbook else "",
        "state": f"{errors} error{'s' if errors > 1 else ''}" if errors else "ready",
        "shipped": entry.shipped,
        "path": str(entry.path),
    }


def as_data(playbook: Playbook) -> dict[str, Any]:
    """A playbook as plain data, with `type` in each step; for JSON output."""

    def step(one: Step) -> dict[str, Any]:
        data = {"type": one.kind, **{f.name: getattr(one, f.name) for f in fields(one)}}
        data["place"] = str(one.place)
        return {name: value for name, value in data.items() if value not in ("", (), {}, None)}

    return {
        "name": playbook.name,
        "title": playbook.title,
        "version": playbook.version,
        "description": playbook.description,
        "level": playbook.level,
        "tags": list(playbook.tags),
        "path": playbook.path,
        "start": playbook.start,
        "variables": {name: asdict(variable) for name, variable in playbook.variables.items()},
        "steps": {name: step(one) for name, one in playbook.steps.items()},
    }


def test_rows(entry: Entry) -> list[dict[str, Any]]:
    """The results of a playbook's tests as rows; what keeps them from being run is a row too."""
    from soc.playbook.trial import perform_all

    def fault(test: str, text: str) -> dict[str, Any]:
        return {
            "playbook": entry.name,
            "test": test,
            "result": "failed",
            "fault": text,
            "path": [],
            "outcome": "",
        }

    if entry.playbook is None or not entry.usable:
        return [fault("lint", str(p)) for p in entry.problems if p.severity is Severity.ERROR]
    results, unseen = perform_all(entry.playbook)
    rows = [
        {
            "playbook": entry.name,
            "test": result.name,
            "result": "passed" if result.passed else "failed",
            "fault": "; ".join(result.faults),
            "path": list(result.path),
            "outcome": result.outcome,
        }
        for result in results
    ]
    if not results:
        rows.append(fault("tests", "it has no tests"))
    elif unseen:
        rows.append(fault("coverage", f"no test comes through {', '.join(unseen)}"))
    return rows
