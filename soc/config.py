"""Configuration: one file `soc.yml`, the environment, and the command line, in rising order of weight.

Looked for in this order: `--config`, `SOC_CONFIG`, `./soc.yml`, the platform's configuration folder. Each
value remembers where it came from (`soc config show --origin`). Secrets are never in this file: a store's
password or key comes from `SOC_STORE_PASSWORD`, `SOC_STORE_API_KEY`, or a file that only its owner reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.errors import ContentError, Problem, UsageError
from soc.respond.severity import MAX_STEPS, Severity

if TYPE_CHECKING:
    from soc.yamlio import YamlDocument

FILE_NAME = "soc.yml"


@dataclass(frozen=True, slots=True)
class Source:
    """One configured input: a collector and the files it reads.

    `name` is part of the identity of its events; `timezone` is the zone of times without one.
    `retention` is the retention class of its events. `shift`, in seconds, is added to the times of a
    recorded log after parsing (for demonstrations and drills); the original line keeps its own.
    """

    name: str
    collector: str
    paths: tuple[str, ...]
    timezone: str = "UTC"
    retention: str = "standard"
    encoding: str = "utf-8"
    host: str = ""
    shift: int = 0


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the store is and how to sign in. `target` is a folder, or an address that begins with http.

    `user`, `password_file`, `api_key_file`, `ca` are for Elasticsearch; `space` separates drills from duty.
    """

    target: str
    user: str = ""
    password_file: str = ""
    api_key_file: str = ""
    ca: str = ""
    space: str = ""

    @property
    def is_elastic(self) -> bool:
        """Whether the target is an Elasticsearch address."""
        return self.target.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one run. Paths are absolute; `origins` says where each value came from.

    `published`: sweeps use the rules that are published in the store instead of those in files.
    `severity`: by how much systems and assets of the register raise the level of an alert.
    `placeholders`: values of `%name%` in rules, or the file that holds them. `lint`: kind of a finding of
    `soc rule lint` to what it weighs here (`error`, `warning`, `ignore`).
    `minutes_per_alert`: what an alert costs an analyst, for backtests (0: from what alerts took before).
    """

    path: Path | None
    store: StoreSettings
    collectors: tuple[Path, ...] = ()
    rules: tuple[Path, ...] = ()
    playbooks: tuple[Path, ...] = ()
    register: Path | None = None
    sources: tuple[Source, ...] = ()
    timezone: str = "UTC"
    state: Path = Path()
    retention: Mapping[str, int] = field(default_factory=lambda: {"standard": 365})
    published: bool = False
    severity: Severity = field(default_factory=Severity)
    minutes_per_alert: int = 0
    placeholders: Mapping[str, tuple[str, ...] | Path] = field(default_factory=dict)
    lint: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


def data_folder() -> Path:
    """The platform's folder for this program's data (XDG_DATA_HOME on Linux)."""
    import platformdirs

    return Path(platformdirs.user_data_dir("soc", appauthor=False))


def config_folder() -> Path:
    """The platform's folder for this program's configuration."""
    import platformdirs

    return Path(platformdirs.user_config_dir("soc", appauthor=False))


def cache_folder() -> Path:
    """The platform's folder for what can be made again: compiled rules, completion lists."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("soc", appauthor=False))


def find(explicit: Path | None = None, environ: Mapping[str, str] = os.environ) -> tuple[Path | None, str]:
    """The configuration file to use and why; None when there is none, which is fine.

    Raises `UsageError` when a file was named and is not there.
    """
    for named, why in ((explicit, "--config"), (environ.get("SOC_CONFIG"), "SOC_CONFIG")):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                raise UsageError(
                    "there is no such configuration file", place=path, hint="soc init writes one"
                )
            return path.resolve(), why
    for candidate in (Path.cwd() / FILE_NAME, config_folder() / FILE_NAME):
        if candidate.is_file():
            return candidate, "found"
    return None, "none"


_TOP = {
    "store",
    "content",
    "register",
    "sources",
    "timezone",
    "state",
    "retention",
    "detect",
    "minutes_per_alert",
}
_STORE = {"target", "user", "password_file", "api_key_file", "ca", "space"}
_SOURCE = {"name", "collector", "paths", "path", "timezone", "retention", "encoding", "host", "shift"}
_DETECT = {"rules", "placeholders", "lint", "severity"}
_SEVERITY = {"levels", "criticality"}
SEVERITIES = ("error", "warning", "ignore")
_CONTENT = {"collectors", "rules", "playbooks"}


class _Reader:
    """Reads the mapping of a configuration file and collects every problem with its place."""

    def __init__(self, document: YamlDocument, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.problems: list[Problem] = []

    def problem(self, message: str, *at: str | int, kind: str = "config") -> None:
        self.problems.append(Problem(kind, message, self.document.place(*at)))

    def mapping(self, value: Any, known: set[str] | None, *at: str | int) -> dict[str, Any]:
        """A mapping whose keys are among `known` (None: any)."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.problem("a mapping is expected here", *at)
            return {}
        for key in value:
            if known is not None and key not in known:
                self.problem(f"unknown setting {key!r}{_meant(key, known)}", *at, key, kind="unknown_setting")
        return value

    def text(self, value: Any, default: str, *at: str | int) -> str:
        if value is None:
            return default
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            self.problem("text is expected here", *at)
            return default
        return str(value)

    def whole(self, value: Any, default: int, *at: str | int) -> int:
        """A whole number."""
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            self.problem("a whole number is expected here", *at)
            return default
        return value

    def texts(self, value: Any, *at: str | int) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.problem("a text or a list of texts is expected here", *at)
            return ()
        return tuple(value)

    def resolve(self, text: str) -> Path:
        path = Path(text).expanduser()
        return path if path.is_absolute() else self.folder / path

    def file(self, settings: Mapping[str, Any], name: str, *at: str | int) -> str:
        """The absolute path under `name`, or ""."""
        text = self.text(settings.get(name), "", *at, name)
        return str(self.resolve(text)) if text else ""

    def zone(self, value: Any, default: str, *at: str | int) -> str:
        from soc.timing import is_zone

        name = self.text(value, default, *at)
        if not is_zone(name):
            self.problem(f"unknown time zone {name!r}; use a name such as Asia/Ho_Chi_Minh", *at)
            return default
        return name


def _meant(key: Any, known: set[str]) -> str:
    """What an unknown setting may have been meant to be, and all that there are."""
    import difflib

    near = difflib.get_close_matches(str(key).lower(), sorted(known), n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{meant}{' Known' if near else '; known'} here: {', '.join(sorted(known))}"


def _sources(reader: _Reader, data: Any, zone: str) -> tuple[Source, ...]:
    if data is None:
        return ()
    if not isinstance(data, list):
        reader.problem("a list of sources is expected here", "sources")
        return ()
    out: list[Source] = []
    names: set[str] = set()
    for i, item in enumerate(data):
        at = ("sources", i)
        entry = reader.mapping(item, _SOURCE, *at)
        collector = reader.text(entry.get("collector"), "", *at, "collector")
        paths = reader.texts(entry.get("paths", entry.get("path")), *at, "paths")
        if not collector or not paths:
            # what is misspelt or of a wrong kind was said already, and is not missing
            missing = [part for part in ("collector", "paths") if not entry.get(part)]
            if "paths" in missing and "path" in entry:
                missing.remove("paths")
            if missing and isinstance(item, dict) and set(entry) <= _SOURCE:
                reader.problem(f"this source lacks {' and '.join(f'`{part}`' for part in missing)}", *at)
            continue
        name = reader.text(entry.get("name"), collector, *at, "name")
        if name in names:
            reader.problem(f"the source name {name!r} stands twice; give each its own `name`", *at)
        names.add(name)
        out.append(
            Source(
                name=name,
                collector=collector,
                paths=tuple(str(reader.resolve(p)) for p in paths),
                timezone=reader.zone(entry.get("timezone"), zone, *at, "timezone"),
                retention=reader.text(entry.get("retention"), "standard", *at, "retention"),
                encoding=reader.text(entry.get("encoding"), "utf-8", *at, "encoding"),
                host=reader.text(entry.get("host"), "", *at, "host"),
                shift=reader.whole(entry.get("shift"), 0, *at, "shift"),
            )
        )
    return tuple(out)


def load(
    explicit: Path | None = None,
    *,
    store: str = "",
    space: str = "",
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration of this run: file, then environment, then `store` and `space` of the command line.

    Raises `ContentError` with all problems of the file at once, `UsageError` for a missing named file.
    """
    config, problems = examine(explicit, store=store, space=space, environ=environ)
    if problems:
        raise ContentError(problems, hint=f"correct it, then: soc config check --config {config.path}")
    return config


def examine(
    explicit: Path | None = None,
    *,
    store: str = "",
    space: str = "",
    environ: Mapping[str, str] = os.environ,
) -> tuple[Config, list[Problem]]:
    """As `load`, with the problems of the file in its order beside what of it can be used.

    Raises `UsageError` for a missing named file, and `ContentError` for one that is no YAML.
    """
    path, why = find(explicit, environ)
    document = _document(path)
    folder = path.parent if path else Path.cwd()
    reader = _Reader(document, folder)
    data = reader.mapping(document.data, _TOP)
    origins = {"config": f"{path} ({why})" if path else "none"}
    for name in _TOP:
        origins[name] = str(document.place(name)) if name in data else "default"
    settings = _store_settings(reader, data.get("store"), origins, environ, store)
    zone = reader.zone(data.get("timezone"), "UTC", "timezone")
    content = reader.mapping(data.get("content"), _CONTENT, "content")
    folders = {
        kind: tuple(reader.resolve(t) for t in reader.texts(content.get(kind), "content", kind))
        for kind in _CONTENT
    }
    register = reader.file(data, "register")
    beside = folder / "register.yml"
    config = Config(
        path=path,
        store=replace(settings, space=space or environ.get("SOC_SPACE", "") or settings.space),
        collectors=folders["collectors"],
        rules=folders["rules"],
        playbooks=folders["playbooks"],
        register=Path(register) if register else (beside if beside.is_file() else None),
        sources=_sources(reader, data.get("sources"), zone),
        timezone=zone,
        state=Path(reader.file(data, "state") or data_folder() / "state"),
        retention=_retention(reader, data.get("retention")),
        placeholders=_placeholders(reader, data.get("detect")),
        published=_published(reader, data.get("detect")),
        lint=_severities(reader, data.get("detect")),
        severity=_severity(reader, data.get("detect")),
        minutes_per_alert=reader.whole(data.get("minutes_per_alert"), 0, "minutes_per_alert"),
        origins=origins,
    )
    return config, sorted(reader.problems, key=lambda problem: problem.place)


def _document(path: Path | None) -> YamlDocument:
    from soc import yamlio

    return yamlio.load(path) if path else yamlio.YamlDocument("", None, {})


def _store_settings(
    reader: _Reader, stored: Any, origins: dict[str, str], environ: Mapping[str, str], given: str
) -> StoreSettings:
    """The store that holds: of the file, overridden by SOC_STORE, overridden by `given`."""
    settings = reader.mapping({"target": stored} if isinstance(stored, str) else stored, _STORE, "store")
    target = reader.text(settings.get("target"), "", "store", "target")
    folder = reader.folder
    for value, label in ((environ.get("SOC_STORE", ""), "SOC_STORE"), (given, "--store")):
        if value:
            target, folder, origins["store"] = value, Path.cwd(), label
    if not target:
        target, origins["store"] = str(data_folder() / "store"), "default"
    scheme, separator, rest = target.partition("://")
    if not separator:
        target = str(folder / Path(target).expanduser())
    elif scheme.lower() in {"http", "https"}:
        target = f"{scheme.lower()}://{rest}"
    else:
        raise UsageError(
            f"{target}: a store is a folder, or an address that begins with https:// or http://",
            place=origins["store"],
        )
    return StoreSettings(
        target=target,
        user=environ.get("SOC_STORE_USER", "") or reader.text(settings.get("user"), "", "store", "user"),
        password_file=reader.file(settings, "password_file", "store"),
        api_key_file=reader.file(settings, "api_key_file", "store"),
        ca=environ.get("SOC_STORE_CA", "") or reader.file(settings, "ca", "store"),
        space=reader.text(settings.get("space"), "", "store", "space"),
    )


def _published(reader: _Reader, data: Any) -> bool:
    """Whether sweeps take the rules that are published in the store (`rules: published`), not files."""
    settings = reader.mapping(data, _DETECT, "detect")
    wanted = reader.text(settings.get("rules"), "files", "detect", "rules")
    if wanted not in ("files", "published"):
        reader.problem("`files` or `published` is expected here", "detect", "rules")
    return wanted == "published"


def _severities(reader: _Reader, data: Any) -> dict[str, str]:
    """What findings of `soc rule lint` weigh: kind to error, warning or ignore."""
    listed = data.get("lint") if isinstance(data, dict) else None
    out: dict[str, str] = {}
    for kind, wanted in reader.mapping(listed, None, "detect", "lint").items():
        if wanted in SEVERITIES:
            out[str(kind)] = wanted
        else:
            reader.problem(f"one of {', '.join(SEVERITIES)} is expected here", "detect", "lint", kind)
    return out


def _severity(reader: _Reader, data: Any) -> Severity:
    """Steps by which the level of an alert is raised; what is not named keeps its default."""
    from soc.respond.register import Criticality

    at = ("detect", "severity")
    settings = reader.mapping(data.get("severity") if isinstance(data, dict) else None, _SEVERITY, *at)
    known = Severity()
    levels, criticality = dict(known.levels), dict(known.criticality)
    for name, value in reader.mapping(settings.get("levels"), None, *at, "levels").items():
        if str(name) not in {"1", "2", "3", "4", "5"}:
            reader.problem("the levels of systems are 1 to 5", *at, "levels", name)
        else:
            levels[int(name)] = _steps(reader, value, *at, "levels", name)
    names = {str(c) for c in Criticality}
    for name, value in reader.mapping(settings.get("criticality"), names, *at, "criticality").items():
        criticality[str(name)] = _steps(reader, value, *at, "criticality", name)
    return Severity(levels, criticality)


def _steps(reader: _Reader, value: Any, *at: str | int) -> int:
    steps = reader.whole(value, 0, *at)
    if not 0 <= steps <= MAX_STEPS:
        reader.problem(f"0 to {MAX_STEPS} levels are expected here: an alert is never lowered", *at)
        return 0
    return steps


def _placeholders(reader: _Reader, data: Any) -> dict[str, tuple[str, ...] | Path]:
    """Values of `%name%` in rules, or the file that holds them (`soc.detect.placeholders`)."""
    out: dict[str, tuple[str, ...] | Path] = {}
    at = ("detect", "placeholders")
    listed = data.get("placeholders") if isinstance(data, dict) else None
    for name, given in reader.mapping(listed, None, *at).items():
        if isinstance(given, dict):
            if path := reader.file(reader.mapping(given, {"file"}, *at, name), "file", *at, name):
                out[str(name)] = Path(path)
            else:
                reader.problem("values, or `file:` with a path, are expected here", *at, name)
        elif values := _values(given):
            out[str(name)] = values
        else:
            reader.problem("a value, a list of values, or {file: PATH} is expected here", *at, name)
    return out


def _values(given: Any) -> tuple[str, ...]:
    """One value or a list of them as text; nothing when something else is among them."""
    listed = given if isinstance(given, list) else [given]
    sound = all(isinstance(v, (str, int, float)) and not isinstance(v, bool) and v != "" for v in listed)
    return tuple(str(v) for v in listed) if sound else ()


def _retention(reader: _Reader, data: Any) -> dict[str, int]:
    """Days by retention class; `standard` is 365 unless said otherwise."""
    out = {"standard": 365}
    for name, days in reader.mapping(data, None, "retention").items():
        if isinstance(days, int) and not isinstance(days, bool) and days > 0:
            out[str(name)] = days
        else:
            reader.problem("days, a whole number above 0, are expected here", "retention", name)
    return out
