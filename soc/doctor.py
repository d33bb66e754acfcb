"""Is it set up right? Each check says what it found and what to do about it, best as a command.

A check never repairs anything and never fails itself: what it cannot look at is said as such.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from soc.errors import ContentError, Place, Problem, Severity, SocError

if TYPE_CHECKING:
    from soc.config import Config, Source
    from soc.store.contract import Store

LEAST_FREE = 2 * 1024**3
"""Bytes that should be free where the store and the state lie; from level 3 on a warning before a disk is
full is a duty."""

LOOK_BACK = timedelta(days=7)
"""How far back events of a source are looked for that collection does not remember."""

CLOCK_SLACK = timedelta(minutes=5)
"""How far the newest event may lie ahead of this machine's clock before one of the clocks is doubted."""


class State(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and the next step where there is one."""

    name: str
    state: State
    found: str
    next: str = ""


def examine(config: Config, open_store: Callable[[], Store]) -> Iterator[Check]:
    """All checks, in the order in which one builds on the other."""
    yield check_python()
    yield check_config(config)
    yield from check_store(config, open_store)
    yield from check_disk(config)
    yield from check_content(config)
    yield from check_exceptions(config)
    yield from check_sources(config)


def check_python() -> Check:
    """The interpreter and its SQLite (the package itself does not install on one that is too old)."""
    import sqlite3

    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", State.OK, f"Python {version}, SQLite {sqlite3.sqlite_version}")


def check_config(config: Config) -> Check:
    """The configuration file and what it names."""
    problems = config_problems(config)
    where = str(config.path) if config.path else "no soc.yml, defaults hold"
    if not problems:
        return Check("config", State.OK, where, "" if config.path else "soc init")
    failed = any(p.severity is Severity.ERROR for p in problems)
    return Check(
        "config",
        State.FAILED if failed else State.WARNING,
        f"{where}: {_count(len(problems), 'problem')}; first: {problems[0].message}",
        "soc config check",
    )


def config_problems(config: Config) -> list[Problem]:
    """What is wrong with what the configuration names: folders, register, sources, secrets."""
    place = Place(str(config.path) if config.path else "(defaults)")
    out = [
        Problem(
            "missing_folder", f"there is no folder {folder}", place, hint="create it, or correct `content`"
        )
        for folder in (*config.collectors, *config.rules, *config.playbooks)
        if not folder.exists()
    ]
    out += _register_problems(config)
    out += _secret_problems(config, place)
    out += _source_problems(config, place)
    return out


def _register_problems(config: Config) -> list[Problem]:
    from soc.respond.register import load_register

    try:
        load_register(config.register)
    except ContentError as error:
        return error.problems
    except SocError as error:
        return [Problem("register", error.message, Place(str(config.register)))]
    return []


def _secret_problems(config: Config, place: Place) -> list[Problem]:
    out = []
    for name in ("password_file", "api_key_file"):
        path = getattr(config.store, name)
        if not path:
            continue
        try:
            mode = Path(path).stat().st_mode
        except OSError as error:
            out.append(Problem("secret_file", f"{name} {path}: {error.strerror}", place))
            continue
        if mode & 0o077:
            message = f"{name} {path} can be read by others"
            out.append(Problem("secret_file", message, place, hint=f"chmod 600 {path}"))
    return out


def _source_problems(config: Config, place: Place) -> list[Problem]:
    from soc.collect.collector import collectors_for

    known = collectors_for(config)
    out = []
    for source in config.sources:
        if source.collector not in known:
            message = f"source {source.name}: there is no collector {source.collector!r}"
            out.append(Problem("unknown_collector", message, place, hint="soc collector list"))
        if not any(_matches(pattern) for pattern in source.paths):
            message = f"source {source.name}: no file matches {', '.join(source.paths)}"
            out.append(Problem("no_file", message, place, Severity.WARNING))
    return out


def _matches(pattern: str) -> list[Path]:
    from soc.collect.inputs.files import expand

    return [path for path in expand(pattern) if path.exists()]


def check_store(config: Config, open_store: Callable[[], Store]) -> Iterator[Check]:
    """Whether the store is there and lets this user work, and whether the clocks agree."""
    try:
        store = open_store()
        user = store.whoami()
        status = store.status()
    except SocError as error:
        yield Check("store", State.FAILED, str(error), error.hint or "soc store init")
        return
    found = f"{status.kind} {status.name}: {status.events:,} events, as {user}"
    missing = [f"{item.kind} {item.name}" for item in store.init(dry_run=True) if not item.exists]
    if missing:
        yield Check("store", State.WARNING, f"{found}; missing: {', '.join(missing[:3])}", "soc store init")
    else:
        yield Check("store", State.OK, found)
    for warning in status.warnings:
        yield Check("store", State.WARNING, warning)
    if not config.store.is_elastic:
        yield _check_folder(Path(config.store.target))
    yield check_clock(status.newest)
    yield from check_checkpoint(config, store)


def check_checkpoint(config: Config, store: Store, now: datetime | None = None) -> Iterator[Check]:
    """Whether collection remembers what it has read: a lost checkpoint is the one case that stores twice."""
    from soc.collect.checkpoint import Checkpoint, state_folder
    from soc.detect.predicate import Op, Test

    folder = state_folder(config.state, config.store.target, config.store.space)
    try:
        checkpoint = Checkpoint.look(folder)
    except SocError as error:
        yield Check("checkpoint", State.FAILED, str(error), error.hint)
        return
    for note in checkpoint.notes:
        yield Check("checkpoint", State.WARNING, note, "soc collect ledger")
    since = (now or datetime.now(UTC)) - LOOK_BACK
    for source in config.sources:
        mine = Test("soc.source", Op.EQUALS, source.name)
        if not checkpoint.of(source.name) and next(store.search(mine, since=since, limit=1), None):
            found = f"lost for {source.name}, of which there are events: what is read now is stored once more"
            yield Check("checkpoint", State.FAILED, found, f"bring {folder} back from a backup")


def _check_folder(folder: Path) -> Check:
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        return Check(
            "rights", State.WARNING, f"{folder} can be read by others ({mode:o})", f"chmod 700 {folder}"
        )
    return Check("rights", State.OK, f"{folder} is this user's alone")


def check_clock(newest: str | None, now: datetime | None = None) -> Check:
    """This machine's clock against the newest event, and whether it is kept by NTP where that shows."""
    now = now or datetime.now(UTC)
    if newest and datetime.fromisoformat(newest) > now + CLOCK_SLACK:
        return Check(
            "clock",
            State.WARNING,
            f"the newest event ({newest}) lies in the future: a clock or a source's zone is wrong",
            "timedatectl status",
        )
    synchronised = Path("/run/systemd/timesync/synchronized").exists()
    kept = " (kept by NTP)" if synchronised else ""
    return Check("clock", State.OK, f"{now.astimezone().isoformat(timespec='seconds')}{kept}")


def check_disk(config: Config) -> Iterator[Check]:
    """Free space where the store and the state lie."""
    folders = {"state": config.state}
    if not config.store.is_elastic:
        folders["store"] = Path(config.store.target)
    for name, folder in folders.items():
        place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
        free = shutil.disk_usage(place).free
        found = f"{free / 1024**3:.1f} GiB free for the {name} in {place}"
        if free < LEAST_FREE:
            yield Check("disk", State.WARNING, found, "soc store prune --older-than 180d --dry-run")
        else:
            yield Check("disk", State.OK, found)


def check_content(config: Config) -> Iterator[Check]:
    """Collectors, rules and playbooks: how many can be used, and what is broken."""
    for noun, load in (("collector", _collectors), ("rule", _rules), ("playbook", _playbooks)):
        try:
            number, problems = load(config)
        except SocError as error:
            yield Check(f"{noun}s", State.FAILED, str(error), f"soc {noun} lint")
            continue
        errors = [p for p in problems if p.severity is Severity.ERROR]
        found = _count(number, noun)
        if errors:
            found += f", {_count(len(errors), 'problem')}; first: {errors[0]}"
            yield Check(f"{noun}s", State.FAILED, found, f"soc {noun} lint")
        else:
            yield Check(f"{noun}s", State.OK, found)


def check_exceptions(config: Config, now: datetime | None = None) -> Iterator[Check]:
    """Exceptions that end soon, so that their rules alert again, and those that never end."""
    from soc.detect.exceptions.model import SOON
    from soc.detect.ruleset import ruleset_for

    now = now or datetime.now(UTC)
    try:
        found = ruleset_for(config).exemptions
    except SocError:
        return  # said of the rules
    states = [one.state(now) for one in found]
    said = _count(len(found), "exception")
    if soon := states.count("expiring"):
        said = f"{said}, {soon} of them for {SOON.days} more days at most"
        yield Check("exceptions", State.WARNING, said, f"soc exception list --expiring {SOON.days}d")
    elif endless := states.count("endless"):
        yield Check("exceptions", State.WARNING, f"{said}, {endless} without an expiry", "soc rule lint")
    elif found:
        yield Check("exceptions", State.OK, said)


def _collectors(config: Config) -> tuple[int, list[Problem]]:
    from soc.collect.collector import collectors_for

    loaded = collectors_for(config)
    return len(loaded), list(loaded.problems)


def _rules(config: Config) -> tuple[int, list[Problem]]:
    from soc.detect.ruleset import ruleset_for

    loaded = ruleset_for(config)
    return len(loaded.rules), loaded.problems


def _playbooks(config: Config) -> tuple[int, list[Problem]]:
    from soc.playbook.library import playbooks_for

    loaded = playbooks_for(config)
    return len(loaded), [problem for entry in loaded.values() for problem in entry.problems]


def check_sources(config: Config) -> Iterator[Check]:
    """Whether each source's files can be read, and how they are rotated."""
    from soc.setup import next_source

    for source in config.sources:
        yield from _check_source(source, correct_paths(config))
    if not config.sources:
        yield Check("sources", State.WARNING, "no source is configured", next_source(config.path))


def correct_paths(config: Config) -> str:
    """The next step for a source that has no file."""
    return f"correct `paths` in {config.path or 'soc.yml'}, or wait for the file"


def files_of(source: Source) -> list[Path]:
    """The files that a source's paths match now."""
    return [path for pattern in source.paths for path in _matches(pattern)]


def _check_source(source: Source, correct: str) -> Iterator[Check]:
    files = files_of(source)
    if not files:
        found = f"no file matches {', '.join(source.paths)}"
        yield Check(f"source {source.name}", State.WARNING, found, correct)
        return
    closed = [path for path in files if not os.access(path, os.R_OK)]
    if closed:
        found = f"cannot read {closed[0]}"
        yield Check(f"source {source.name}", State.FAILED, found, f"setfacl -m u:$USER:r {closed[0]}")
        return
    rotation = copytruncate(files)
    if rotation:
        found = f"{rotation} uses copytruncate: lines between copy and truncation are lost"
        yield Check(f"source {source.name}", State.WARNING, found, "use `create` and a reload instead")
        return
    yield Check(f"source {source.name}", State.OK, _count(len(files), "file"))


def copytruncate(files: list[Path], folder: Path = Path("/etc/logrotate.d")) -> Path | None:
    """The logrotate configuration that rotates one of these files by copytruncate, if any."""
    if not folder.is_dir():
        return None
    for path in sorted(folder.iterdir()):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for names, _, body in (block.partition("{") for block in text.split("}")):
            patterns = [word for line in names.splitlines() for word in line.split() if word.startswith("/")]
            if "copytruncate" in body.split() and any(f.match(p) for f in files for p in patterns):
                return path
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
