"""The check of a content repository for CI: lint, samples and a backtest of what changed, without a store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.detect.releases.changes import Concern, changed_files, concerned
from soc.detect.releases.junit import Case, near
from soc.errors import Place, Problem, Severity, UsageError

if TYPE_CHECKING:
    from soc.collect.collector import Collectors
    from soc.config import Config
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset
    from soc.detect.samples import CaseResult

Progress = Callable[[str, int, int], None]
"""Called with what is done now, how much of it, and how much there is in all."""


def _quiet(_what: str, _done: int, _all: int) -> None:
    return


@dataclass
class Report:
    """What a check found. `since`: the commit or name that changes were looked for from ("": none)."""

    since: str = ""
    concern: Concern = field(default_factory=Concern)
    cases: list[Case] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rules: int = 0

    @property
    def failed(self) -> int:
        """How many cases failed."""
        return sum(case.status == "failed" for case in self.cases)

    @property
    def checked(self) -> int:
        """How many cases were decided."""
        return sum(case.status != "skipped" for case in self.cases)

    @property
    def nothing(self) -> bool:
        """Whether changes were asked for, and there are none that concern a rule."""
        return bool(self.since) and not self.cases

    def rows(self, *, everything: bool) -> Iterator[dict[str, Any]]:
        """One row for each case; without `everything` those that failed."""
        for case in self.cases:
            if everything or case.status == "failed":
                yield {
                    "check": case.suite,
                    "rule": case.name,
                    "result": case.status,
                    "message": case.message,
                    "details": list(case.details),
                    "place": str(near(case.place or Place(case.group))),
                }

    def lines(self, *, everything: bool) -> Iterator[str]:
        """The cases as lines for a person, with the details below those that failed."""
        for case in self.cases:
            if everything or case.status == "failed":
                said = f": {case.message}" if case.message else ""
                where = near(case.place or Place(case.group))
                yield f"{where}: {case.suite}: {case.name} {case.status}{said}"
                if case.status == "failed":
                    yield from (f"    {detail}" for detail in case.details if detail != case.message)

    def summary(self) -> Iterator[str]:
        """What to say below the rows."""
        files = _many(len(self.concern.files), "file")
        if self.nothing:
            what = f"{files} changed that concern no rule" if self.concern.files else "no rule changed"
            yield f"{what} since {self.since}: there is nothing to check"
            return
        if self.since:
            yield f"{files} changed since {self.since}, concerning {_many(self.rules, 'rule')}"
        yield from self.remarks
        if not self.checked:
            yield "nothing was checked"
            return
        counts = Counter((case.suite, case.status) for case in self.cases)
        for suite in dict.fromkeys(case.suite for case in self.cases):
            parts = [f"{counts[suite, s]:,} {s}" for s in ("passed", "failed", "skipped") if counts[suite, s]]
            yield f"{suite}: {', '.join(parts)}"


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def check(
    config: Config,
    paths: Sequence[Path] = (),
    *,
    since: str = "",
    events: Sequence[str] = (),
    most_hits: int | None = None,
    progress: Progress = _quiet,
) -> Report:
    """Check the rules below `paths` (default: your own); with `since`, those that a change concerns.

    `events`: files to match the rules against; a rule with more than `most_hits` hits fails. Raises
    `UsageError` when there is nothing to look at, no git repository, or no such commit.
    """
    from soc.collect.collector import collectors_for
    from soc.detect.ruleset import ruleset_for

    config, within = _scope(config, paths)
    ruleset = ruleset_for(config, progress=lambda done, total: progress("compiling rules", done, total))
    collectors = collectors_for(config)
    report = Report(since)
    if since:
        files = [
            file
            for file in changed_files(_folders(config, within), since)
            if not (file.is_samples and file.folder in config.collectors)  # soc collector test is for those
        ]
        providers = {c.path: c.datasets for c in collectors.values()}
        report.concern = concerned(ruleset, files, providers)
        if not files:
            return report
        chosen = [r for r in ruleset.rules if r.id in report.concern.rules and _inside(r.path, within)]
    else:
        wanted = within or list(config.rules)
        chosen = [r for r in ruleset.rules if r.origin not in _foreign(ruleset) and _inside(r.path, wanted)]
    report.rules = len(chosen)
    _lint(report, config, ruleset, chosen, collectors)
    _removed(report, config)
    _test(report, config, ruleset, chosen, progress)
    if events:
        _backtest(report, config, chosen, collectors, events, most_hits, progress)
    return report


def _foreign(ruleset: Ruleset) -> set[str]:
    return {rule.origin for rule in ruleset.rules} - {"own"}


def _scope(config: Config, paths: Sequence[Path]) -> tuple[Config, list[Path]]:
    """The configuration with folders that are named and not in it, and the paths to keep to."""
    known = [*config.rules]
    within: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError("there is no such file or folder", place=path)
        whole = path.resolve()
        folder = next((f for f in known if whole.is_relative_to(f.resolve())), None)
        if folder is None:
            folder = whole if path.is_dir() else whole.parent
            known.append(folder)
        within.append(folder / whole.relative_to(folder.resolve()))
    if not known:
        raise UsageError(
            "there are no rules of your own to check",
            hint="name their folder, or in soc.yml: content: {rules: [rules]}",
        )
    return replace(config, rules=tuple(known)), within


def _folders(config: Config, within: Sequence[Path]) -> list[Path]:
    there = [*config.rules, *config.collectors]
    return [f for f in there if f.exists() and (not within or any(_related(f, path) for path in within))]


def _related(folder: Path, path: Path) -> bool:
    return path.is_relative_to(folder) or folder.is_relative_to(path)


def _inside(path: str, within: Iterable[Path]) -> bool:
    wanted = list(within)
    return not wanted or any(Path(path).is_relative_to(one) for one in wanted)


# ------------------------------------------------------------------ lint


def _lint(
    report: Report, config: Config, ruleset: Ruleset, chosen: Sequence[Rule], collectors: Collectors
) -> None:
    from soc.detect.lint import lint
    from soc.detect.samples import samples_path
    from soc.playbook.library import playbooks_for

    began = time.monotonic()
    found = lint(ruleset, collectors=collectors, playbooks=set(playbooks_for(config)), severities=config.lint)
    by_file: dict[str, list[Rule]] = {}
    for rule in chosen:
        by_file.setdefault(rule.path, []).append(rule)
        by_file.setdefault(str(samples_path(Path(rule.path))), []).append(rule)
    about: dict[str, list[Problem]] = {rule.id: [] for rule in chosen}
    rest: list[Problem] = []
    for problem in found:
        rule_ = _rule_at(by_file.get(problem.place.path, ()), problem.place.line)
        (about[rule_.id] if rule_ else rest).append(problem)
    each = (time.monotonic() - began) / max(len(chosen), 1)
    report.cases += [_lint_case(rule, about[rule.id], each) for rule in chosen]
    reasons = {why for rule in chosen for why in report.concern.rules.get(rule.id, ())}
    report.cases += _file_cases(report, config, rest, by_file.keys() | (reasons - _settings(report)))
    _upstream_line(report, ruleset, chosen, rest)


def _settings(report: Report) -> set[str]:
    """Changed files that are checked themselves beside the rules that they concern."""
    return {str(file.path) for file in report.concern.files if file.is_content and not file.is_samples}


def _rule_at(rules: Sequence[Rule], line: int) -> Rule | None:
    """The rule that a line of a file belongs to."""
    before = [rule for rule in rules if rule.line <= max(line, 1)]
    return max(before, key=lambda rule: rule.line) if before else next(iter(rules), None)


def _lint_case(rule: Rule, problems: Sequence[Problem], seconds: float) -> Case:
    errors = [p for p in problems if p.severity is Severity.ERROR]
    details = tuple(str(p) for p in (errors or problems))
    if errors and rule.off:
        return _case("lint", rule, "skipped", f"not selected ({rule.off}): {errors[0].message}", details)
    if errors:
        return _case("lint", rule, "failed", errors[0].message, details, seconds)
    return _case("lint", rule, "passed", "", details, seconds)


def _case(
    suite: str,
    rule: Rule,
    status: str,
    message: str = "",
    details: tuple[str, ...] = (),
    seconds: float = 0.0,
) -> Case:
    from soc.detect.catalogue import short_name

    return Case(suite, rule.path, short_name(rule), status, message, details, rule.place, seconds)


def _file_cases(
    report: Report, config: Config, problems: Sequence[Problem], looked_at: set[str]
) -> Iterator[Case]:
    """Files that hold no rule that was looked at: changed ones, and own ones with errors."""
    changed = {str(file.path): file for file in report.concern.files}
    upstream = tuple(f"{folder / 'upstream'}/" for folder in config.rules)
    own = tuple(f"{folder}/" for folder in config.rules)
    broken: dict[str, list[Problem]] = {}
    for problem in problems:
        path = problem.place.path
        ours = path.startswith(own) and not path.startswith(upstream)
        if problem.severity is Severity.ERROR and (path in changed or ours):
            broken.setdefault(path, []).append(problem)
    for path, errors in broken.items():
        details = tuple(str(p) for p in errors)
        yield Case("files", path, Path(path).name, "failed", errors[0].message, details, errors[0].place)
    for path, file in changed.items():
        if path in broken or path in looked_at or not file.path.exists():
            continue
        if file.is_samples:
            message = "no rule stands above these samples" if file.is_content else "no samples name this file"
            yield Case("files", path, file.path.name, "failed", message, place=Place(path))
        else:
            yield Case("files", path, file.path.name, "passed", place=Place(path))


def _upstream_line(
    report: Report, ruleset: Ruleset, chosen: Sequence[Rule], problems: Sequence[Problem]
) -> None:
    """One line on the imported rules that did not change, whatever there is to say of them."""
    looked_at = {rule.id for rule in chosen}
    rules = [r for r in ruleset.rules if r.origin not in ("own", "shipped") and r.id not in looked_at]
    if not rules:
        return
    paths = {rule.path for rule in rules}
    about = [p for p in problems if p.place.path in paths]
    errors = sum(p.severity is Severity.ERROR for p in about)
    report.remarks.append(
        f"{_many(len(rules), 'unchanged imported rule')}: {_many(errors, 'error')}, "
        f"{_many(len(about) - errors, 'warning')} (soc rule lint)"
    )


def _removed(report: Report, config: Config) -> None:
    """A rule that was removed: nothing may name it any more."""
    from soc.detect.releases.references import references

    if not report.concern.removed:
        return
    named: dict[str, list[str]] = {}
    for one in references(config.rules):
        named.setdefault(one.id.lower(), []).append(f"{one.place}: {one.what}")
    for id_, (title, path) in report.concern.removed.items():
        places = tuple(named.get(id_, ()))
        message = f"{id_} is gone, and named in {_many(len(places), 'place')}" if places else ""
        status = "failed" if places else "passed"
        report.cases.append(Case("removed", path, title or id_, status, message, places, Place(path)))


# ------------------------------------------------------------------ samples


def _test(
    report: Report, config: Config, ruleset: Ruleset, chosen: Sequence[Rule], progress: Progress
) -> None:
    from soc.detect.catalogue import quiet
    from soc.detect.checks import try_rules

    silent = quiet(ruleset.rules)
    wanted = {rule.id for rule in chosen}
    began = time.monotonic()
    outcome = try_rules(
        config,
        replace(ruleset, rules=[r for r in ruleset.rules if r.id in wanted], problems=[]),
        progress=lambda done, total: progress("testing rules", done, total),
    )
    each = (time.monotonic() - began) / max(len(chosen), 1)
    untested = {rule.id for rule in outcome.untested}
    silent = quiet(r for r in ruleset.rules if r.id in wanted)
    by_rule: dict[str, list[CaseResult]] = {}
    for result in outcome.results:
        by_rule.setdefault(result.rule.id, []).append(result)
    for rule in chosen:
        results = by_rule.get(rule.id, [])
        faults = [result for result in results if result.fault]
        details = tuple(f"{result.case.place}: {result.case.name}: {result.fault}" for result in faults)
        if rule.id in untested:
            report.cases.append(_case("test", rule, "skipped", "it has no samples"))
        elif rule.id in silent:
            report.cases.append(_case("test", rule, "skipped", "tested with the correlation over it"))
        elif faults:
            message = f"{len(faults)} of {_many(len(results), 'sample')} failed: {faults[0].fault}"
            report.cases.append(_case("test", rule, "failed", message, details, each))
        elif results:
            report.cases.append(_case("test", rule, "passed", "", (), each))
        elif rule.id in silent:
            report.cases.append(_case("test", rule, "skipped", "it is there for a correlation"))
        else:
            report.cases.append(_case("test", rule, "failed", "its samples cannot be read", (), each))


# ------------------------------------------------------------------ backtest


def _backtest(
    report: Report,
    config: Config,
    chosen: Sequence[Rule],
    collectors: Collectors,
    events: Sequence[str],
    most_hits: int | None,
    progress: Progress,
) -> None:
    """Match the rules against recorded events: how often does each fire, and can it be decided at all?"""
    from soc.collect.parsing import context_of
    from soc.detect import scan
    from soc.detect.matcher import Matcher

    rules = [replace(rule, off="") for rule in chosen]
    rules = [rule for rule in rules if rule.runnable]
    if not rules:
        report.remarks.append("backtest: no rule on single events is concerned")
        return
    began = time.monotonic()
    sources, problems = scan.inputs(events)
    scanner = scan.Scanner(Matcher(rules), collectors, context_of(config.timezone, ""))
    hits: Counter[str] = Counter()
    for done, source in enumerate(sources):
        progress("reading events", done, len(sources))
        hits.update(hit.rule.id for hit in scanner.scan(source))
    tally = scanner.tally
    problems += tally.problems
    for problem in problems:
        report.cases.append(
            Case("backtest", problem.place.path, problem.place.path, "failed", problem.message)
        )
    if not tally.events:
        message = "not one event was read, so nothing was tested against them"
        report.cases.append(Case("backtest", "events", "events", "failed", message))
        return
    report.remarks.append(
        f"backtest over {_many(tally.events, 'event')}: {_many(sum(hits.values()), 'hit')} "
        f"of {_many(len(hits), 'rule')}"
    )
    each = (time.monotonic() - began) / len(rules)
    for rule in rules:
        report.cases.append(_backtested(rule, hits[rule.id], tally, most_hits, each))


def _backtested(rule: Rule, hits: int, tally: Any, most_hits: int | None, seconds: float) -> Case:
    said = f"{_many(hits, 'hit')} in {_many(tally.events, 'event')}"
    if undecided := tally.undecided[rule.id]:
        message = f"undecided on {_many(undecided, 'event')}: an expression ran out of time"
        return _case("backtest", rule, "failed", message, (said,), seconds)
    if most_hits is not None and hits > most_hits:
        return _case("backtest", rule, "failed", f"{said}, more than {most_hits:,}", (said,), seconds)
    return _case("backtest", rule, "passed", said, (said,), seconds)
