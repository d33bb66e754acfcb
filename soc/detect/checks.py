"""What `soc rule lint` and `soc rule test` do with the rules that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soc.errors import Problem, Severity

if TYPE_CHECKING:
    from soc.config import Config
    from soc.detect.rule import Rule
    from soc.detect.ruleset import Ruleset
    from soc.detect.samples import CaseResult
    from soc.store.contract import Store


Progress = Callable[[int, int], None]
"""Called with what is done and how much there is in all."""


def _quiet(_done: int, _total: int) -> None:
    return


def lint_chosen(
    config: Config, arguments: Sequence[str], *, store: Store | None = None
) -> tuple[int, list[Problem]]:
    """The number of rules that arguments name (all when there are none), and every finding about them.

    `store`: is asked which fields were ever filled in its events.
    """
    from soc import content
    from soc.collect.collector import collectors_for
    from soc.detect import catalogue
    from soc.detect.exceptions.checks import check_elsewhere
    from soc.detect.lint import lint, orphans, weigh
    from soc.detect.ruleset import ruleset_for
    from soc.detect.sight import Sight
    from soc.playbook.library import playbooks_for

    ruleset = catalogue.ruleset_of(config, arguments)
    unfilled = {}
    if store is not None:
        sight = Sight(store)
        sight.load()
        unfilled = sight.blind(ruleset.rules)
    problems = lint(
        ruleset,
        collectors=collectors_for(config),
        playbooks=set(playbooks_for(config)),
        severities=config.lint,
        unfilled=unfilled,
    )
    if arguments and ruleset.exemptions:
        looked_at = {rule.id for rule in ruleset.rules}
        others = [rule for rule in ruleset_for(config).rules if rule.id not in looked_at]
        problems += weigh(check_elsewhere(ruleset.exemptions, others), config.lint)
    folders = [Path(a) for a in arguments if Path(a).is_dir()]
    for folder in folders if arguments else [content.shipped("rules"), *config.rules]:
        problems += orphans(folder)
    return len(ruleset.rules) or len(ruleset.exemptions), problems


def about_imported(arguments: Sequence[str], problems: Sequence[Problem]) -> tuple[list[Problem], int]:
    """The findings to show to a person, and the number of warnings on imported rules that are left out.

    Imported rules are not edited, so nobody here can follow such a warning, and a release has thousands.
    Errors stay: such a rule does not run. Who names an imported rule or a folder of them sees everything.
    """
    if any(not Path(one).is_dir() or _in_a_set(one) for one in arguments):
        return list(problems), 0
    shown = [p for p in problems if p.severity is Severity.ERROR or not _in_a_set(p.place.path)]
    return shown, len(problems) - len(shown)


def _in_a_set(path: str) -> bool:
    """Whether this is, or lies in, a set of rules that was imported: `upstream/NAME/` with its manifest."""
    from soc.detect.releases import manifest
    from soc.detect.releases.layers import UPSTREAM

    whole = Path(path).absolute()
    return any(
        folder.parent.name == UPSTREAM and (folder / manifest.NAME).is_file()
        for folder in (whole, *whole.parents)
    )


def tally(problems: Sequence[Problem]) -> str:
    """How many errors and warnings there are, in words."""
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    parts = [
        f"{number} {word}{'' if number == 1 else 's'}"
        for number, word in ((errors, "error"), (len(problems) - errors, "warning"))
        if number
    ]
    return ", ".join(parts) or "no problem found"


@dataclass
class Outcome:
    """What became of the samples of some rules. `untested`: the rules that have none."""

    results: list[CaseResult] = field(default_factory=list)
    untested: list[Rule] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Cases that went otherwise than expected."""
        return sum(not result.passed for result in self.results)

    @property
    def passed(self) -> bool:
        """Whether something was tested, and everything went as expected."""
        return bool(self.results) and not self.failed and not self.problems

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for each case, and one for each file that could not be read."""
        from soc.detect.catalogue import short_name

        for result in self.results:
            yield {
                "rule": short_name(result.rule),
                "case": result.case.name,
                "expect": str(result.case.expect),
                "result": "passed" if result.passed else "failed",
                "events": result.events,
                "hits": result.hits,
                "fault": result.fault,
                "place": str(result.case.place),
                "id": result.rule.id,
            }
        for problem in self.problems:
            yield {
                "rule": Path(problem.place.path).stem,
                "case": "",
                "expect": "",
                "result": "failed",
                "events": 0,
                "hits": 0,
                "fault": problem.message,
                "place": str(problem.place),
                "id": "",
            }

    def remarks(self) -> Iterator[str]:
        """What to say below the rows."""
        from soc.detect.catalogue import short_name

        if self.untested:
            names = ", ".join(short_name(rule) for rule in self.untested[:5])
            more = f" and {len(self.untested) - 5} more" if len(self.untested) > 5 else ""
            yield f"no samples: {names}{more} (soc rule new shows how they are written)"
        if not self.results:
            yield "nothing was tested"
        else:
            yield f"{len(self.results) - self.failed} passed, {self.failed} failed"


def try_chosen(config: Config, arguments: Sequence[str], *, progress: Progress = _quiet) -> Outcome:
    """Run the samples of the rules that arguments name, or of all rules.

    `progress` is called with the number of rules done and of all.
    """
    from soc.detect import catalogue

    return try_rules(config, catalogue.ruleset_of(config, arguments), progress=progress)


def try_rules(config: Config, ruleset: Ruleset, *, progress: Progress = _quiet) -> Outcome:
    """Run the samples of rules; the errors of the set are problems of the outcome."""
    from soc.collect.collector import collectors_for
    from soc.detect.catalogue import quiet
    from soc.detect.samples import Bench, is_beneath, load_samples

    outcome = Outcome(problems=list(ruleset.errors))
    with Bench(collectors_for(config)) as bench:
        silent = quiet(ruleset.rules)
        for done, rule in enumerate(ruleset.rules):
            progress(done, len(ruleset.rules))
            if rule.id in silent or is_beneath(rule):
                continue  # it is there for a correlation, whose samples try it too
            samples = load_samples(Path(rule.path))
            outcome.problems += samples.problems
            # whether it is selected here is not what its samples are about
            outcome.results += [bench.run(replace(rule, off=""), case) for case in samples.cases]
            if not samples.cases and not samples.problems:
                outcome.untested.append(rule)
    return outcome
