"""Collectors: content that says how the log of one source becomes ECS events, one YAML file for each.

The file's name is the collector's name, so that one is found without reading the others. What is wrong with
a file is kept as problems with their lines; a broken collector does not hurt its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from soc import content
from soc.collect.compiler import Compiler, Program
from soc.collect.decode import Context, Decoder
from soc.collect.formats import registry
from soc.collect.spec import Logsource, Sample, Spec, read
from soc.errors import ContentError, Place, Problem, Severity, UsageError

if TYPE_CHECKING:
    from soc.config import Config

__all__ = [
    "Collector",
    "Collectors",
    "Context",
    "Decoder",
    "Logsource",
    "Sample",
    "collectors_for",
    "load_collectors",
]

LAYERS: Mapping[int, str] = {1: "onsite", 2: "monitoring", 3: "assessment", 4: "national"}
"""Layers and the folders of their collectors."""


@dataclass(eq=False)
class Collector:
    """One collector, ready to decode."""

    spec: Spec
    path: Path
    program: Program
    family: Collectors | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Its name, which is also `event.module`."""
        return self.spec.name

    @property
    def title(self) -> str:
        """One line that says what it reads."""
        return self.spec.title

    @property
    def layer(self) -> int:
        """1 on-site, 2 monitoring, 3 assessment, 4 national."""
        return self.spec.layer

    @property
    def format(self) -> str:
        """The name of its format (`soc.collect.formats.registry`)."""
        return self.spec.format

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of the format."""
        return self.spec.options

    @property
    def fallback(self) -> bool:
        """Whether it takes whatever has its format, after all others."""
        return self.spec.fallback

    @property
    def framing(self) -> Literal["lines", "file"]:
        """Whether a record is a line, or a file must be read whole."""
        return registry.FORMATS[self.spec.format].framing

    @property
    def datasets(self) -> tuple[str, ...]:
        """The `event.dataset` of its streams."""
        module = "windows" if self.format in {"evtx", "windows-json"} else self.name
        return tuple(dict.fromkeys(f"{module}.{stream.name}" for stream in self.spec.streams))

    @property
    def logsources(self) -> tuple[Logsource, ...]:
        """Sigma log sources that its datasets satisfy."""
        return self.spec.logsources

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Examples with the events expected of them."""
        return self.spec.samples

    def decoder(self, context: Context | None = None) -> Decoder:
        """A decoder for one life of one input."""
        return Decoder(self, context or Context())

    def syslog_siblings(self) -> tuple[Collector, ...]:
        """The collectors that may take a syslog line that this one leaves: by name, fallbacks last."""
        if self.family is None:
            return (self,) if self.fallback else ()
        return self.family.syslog()


class Collectors(Mapping[str, Collector]):
    """Collectors by name, each read when it is first asked for.

    Asking for a broken one raises `ContentError` with all its problems; going over all of them leaves broken
    ones out, and `problems` has what is wrong with each.
    """

    def __init__(self, paths: Mapping[str, Path], problems: Sequence[Problem] = ()) -> None:
        self.paths = dict(paths)
        self._outer = list(problems)
        self._loaded: dict[str, Collector | list[Problem]] = {}
        self._warnings: list[Problem] = []
        self._syslog: tuple[Collector, ...] | None = None
        self._mentioning: dict[str, list[Collector]] = {}

    def __getitem__(self, name: str) -> Collector:
        if name not in self.paths:
            raise KeyError(name)
        found = self._load(name)
        if isinstance(found, Collector):
            return found
        raise ContentError(found, hint=f"soc collector lint {self.paths[name]}")

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return (name for name in sorted(self.paths) if isinstance(self._load(name), Collector))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _load(self, name: str) -> Collector | list[Problem]:
        if name not in self._loaded:
            collector, problems = load(self.paths[name])
            self._warnings += [p for p in problems if p.severity is Severity.WARNING]
            if collector is not None:
                collector.family = self
            self._loaded[name] = collector or [p for p in problems if p.severity is Severity.ERROR]
        return self._loaded[name]

    @property
    def outer_problems(self) -> list[Problem]:
        """What is wrong with the folders themselves; reads nothing."""
        return list(self._outer)

    @property
    def problems(self) -> list[Problem]:
        """Everything that is wrong with the files; reads all of them."""
        out = list(self._outer)
        for name in sorted(self.paths):
            found = self._load(name)
            if isinstance(found, list):
                out += found
        return out + self._warnings

    def mentioning(self, word: str) -> list[Collector]:
        """The collectors whose files hold this word; the others are not read as collectors."""
        known = self._mentioning.get(word)
        if known is None:
            names = [name for name, path in sorted(self.paths.items()) if _holds(path, word.encode())]
            found = [self._load(name) for name in names]
            known = self._mentioning[word] = [one for one in found if isinstance(one, Collector)]
        return known

    def find(self, name: str) -> Collector:
        """The collector of that name; `UsageError` that suggests near names when there is none."""
        if name in self.paths:
            return self[name]
        import difflib

        near = difflib.get_close_matches(name, self.paths, n=3)
        tail = f"; did you mean {', '.join(near)}?" if near else ""
        raise UsageError(f"there is no collector {name!r}{tail}", hint="soc collector list")

    def syslog(self) -> tuple[Collector, ...]:
        """The collectors of format `syslog`: by name, fallbacks last."""
        if self._syslog is None:
            found = [c for c in self.values() if c.format == "syslog"]
            self._syslog = tuple(sorted(found, key=lambda c: (c.fallback, c.name)))
        return self._syslog


def _holds(path: Path, word: bytes) -> bool:
    try:
        return word in path.read_bytes()
    except OSError:
        return True  # whoever reads it says what is wrong


def load(path: Path) -> tuple[Collector | None, list[Problem]]:
    """The collector in a file and everything that is wrong with it; None when an error keeps it from use."""
    try:
        spec, problems, document = read(path)
    except ContentError as error:
        return None, error.problems
    if spec is None:
        return None, problems
    if spec.name != path.stem:
        problems.append(
            Problem(
                "file_name",
                f"the file of the collector {spec.name} must be called {spec.name}.yml",
                document.place("name"),
            )
        )
    compiler = Compiler(spec, document)
    program = compiler.compile()
    problems += compiler.problems
    if any(p.severity is Severity.ERROR for p in problems):
        return None, problems
    return Collector(spec, path, program), problems


def load_collectors(folders: Sequence[Path]) -> Collectors:
    """The collectors in folders (or single files); those of a later folder take the place of earlier ones
    by name."""
    paths: dict[str, Path] = {}
    problems: list[Problem] = []
    for folder in folders:
        if not folder.exists():
            problems.append(Problem("missing", "there is no such folder of collectors", Place(str(folder))))
            continue
        here: dict[str, Path] = {}
        for path in content.files(folder):
            if path.stem in here:
                problems.append(
                    Problem(
                        "duplicate",
                        f"the collector {path.stem} is also in {here[path.stem]}",
                        Place(str(path)),
                    )
                )
                continue
            here[path.stem] = path
        paths.update(here)
    return Collectors(paths, problems)


def collectors_for(config: Config) -> Collectors:
    """The shipped collectors, extended or overridden by the user's."""
    return load_collectors([content.shipped("collectors"), *config.collectors])
