"""The stage that gives each hit of a rule with an extension to that extension, and lets the others pass.

An *evaluator* decides for one rule. It gets the hits of each batch and gives back those that count, with
`soc.why` on the event: the sentence that the alert shows. What is decided when the feed is caught up (that
nothing came, that too much came) it tells of by an alert of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from soc.detect.alert_writer import Written
from soc.detect.beyond import extensions
from soc.detect.correlate.alerts import AlertBook, Raised
from soc.detect.grouping import Hit
from soc.detect.rule import Rule
from soc.detect.stage import Staged
from soc.store.contract import Store

if TYPE_CHECKING:
    from soc.detect.beyond.indicators import Indicators
    from soc.respond.register import Register

WHY = "soc.why"
"""Field of a hit that counts: why it does, in a sentence."""


class Evaluator(Protocol):
    """Decides what counts of the hits of one rule."""

    def begin(self) -> None:
        """A run of the sweep begins: read again what others may have changed."""

    def take(self, hits: Sequence[Hit], *, replay: bool) -> list[Hit]:
        """The hits of a batch that count, told why; `replay` as for `soc.detect.stage.Stage.take`."""

    def finish(self, watermark: int, tell: Tell) -> int:
        """No event before `watermark` is expected any more: tell of what that shows; how much of it is new.

        What is told is told before it is remembered as told: after a crash it is told again, and is one
        alert.
        """

    def notes(self) -> list[str]:
        """What the ledger should hold of this run; called once at its end."""


def by_time(hits: Iterable[Hit]) -> list[Hit]:
    """Hits in the order of their events."""
    return sorted(hits, key=lambda hit: (hit.time, hit.id))


def told(hit: Hit, why: str, more: Mapping[str, object] | None = None) -> Hit:
    """A hit that counts, and why."""
    return hit._replace(event={**hit.event, **(more or {}), WHY: why})


def span_text(micros: int) -> str:
    """A span in the largest unit that divides it: `30d`, `12h`, `90m`."""
    for unit, size in (("d", extensions.DAY), ("h", extensions.HOUR), ("m", extensions.MINUTE)):
        if micros % size == 0:
            return f"{micros // size}{unit}"
    return f"{micros // 1_000_000}s"


class Tell:
    """Takes what evaluators find, and writes alerts of it; nothing of rules in shadow."""

    def __init__(self, book: AlertBook) -> None:
        self._book = book
        self.written = Written()

    def raised(self, found: Sequence[Raised]) -> None:
        """Write the alerts, or what is new about them."""
        loud = [one for one in found if one.rule.mode != "shadow"]
        if loud:
            self.written.add(self._book.write(loud))

    def withdraw(self, full: str, why: str) -> None:
        """Close the alert with this identity, where there is one: it does not hold."""
        self._book.withdraw(full, why)


class BeyondStage:
    """All extensions of a set of rules."""

    def __init__(
        self,
        store: Store,
        rules: Sequence[Rule],
        *,
        register: Register | None = None,
        dry_run: bool = False,
        keep: bool = True,
        scope: str = "",
    ) -> None:
        """`keep`: whether the indicators are kept on disk for the next process. `scope`: whose memory: sweeps
        with positions of their own each see every event, and must not count it twice.
        """
        self._rules = {rule.id: rule for rule in rules if rule.runnable and rule.beyond}
        self._shared = Shared(store, dry_run=dry_run, keep=keep, scope=scope)
        self._book = AlertBook(store, name=f"beyond{scope}", register=register, dry_run=dry_run)
        self._evaluators = {id_: evaluator_of(self._shared, rule) for id_, rule in self._rules.items()}

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules that have an extension."""
        return [*self._rules.values()]

    @property
    def indicators(self) -> Indicators:
        """The indicators that its rules match events with."""
        return self._shared.indicators

    def begin(self) -> None:
        """See `soc.detect.stage.Stage.begin`."""
        self._shared.begin()
        self._book.begin()
        for evaluator in self._evaluators.values():
            evaluator.begin()

    def take(self, hits: Sequence[Hit], *, replay: bool) -> Staged:
        """See `soc.detect.stage.Stage.take`."""
        staged = Staged([])
        mine: dict[str, list[Hit]] = {id_: [] for id_ in self._evaluators}
        others = staged.hits
        for hit in hits:
            mine.get(hit.rule.id, others).append(hit)
        for id_, own in mine.items():
            if not own:
                continue
            left = self._evaluators[id_].take(own, replay=replay)
            staged.hits += left
            staged.held[id_] = len(own) - len(left)
        return staged

    def finish(self, watermark: int) -> Staged:
        """See `soc.detect.stage.Stage.finish`."""
        staged = Staged([])
        tell = Tell(self._book)
        for id_, evaluator in self._evaluators.items():
            if new := evaluator.finish(watermark, tell):
                staged.held[id_] = -new
            staged.notes += [f"{self._rules[id_].title}: {note}" for note in evaluator.notes()]
        staged.written = tell.written
        return staged


class Shared:
    """What the evaluators of one stage have in common: the store, and the indicators known to it."""

    def __init__(self, store: Store, *, dry_run: bool, keep: bool, scope: str) -> None:
        self.store = store
        self.dry_run = dry_run
        self.scope = scope
        self._keep = keep
        self._indicators: Indicators | None = None

    def begin(self) -> None:
        """Take in the indicators that came since."""
        if self._indicators is not None:
            self._indicators.refresh()

    @property
    def indicators(self) -> Indicators:
        """The indicators of the store, which all rules share."""
        if self._indicators is None:
            from soc.detect.beyond.indicators import Indicators

            self._indicators = Indicators(self.store, keep=self._keep)
        return self._indicators


def evaluator_of(shared: Shared, rule: Rule) -> Evaluator:
    """The evaluator of a rule that has an extension."""
    extension = extensions.extension_of(rule.attributes)
    if extension is None:
        raise ValueError(f"{rule.id} has no sound extension")  # such a rule is undecidable, and not run
    return _MAKERS[type(extension)](shared, rule, extension)


def _new_term(shared: Shared, rule: Rule, extension: extensions.NewTerm) -> Evaluator:
    from soc.detect.beyond.new_term import NewTerms

    return NewTerms(shared.store, rule, extension, dry_run=shared.dry_run, scope=shared.scope)


def _indicator(shared: Shared, rule: Rule, extension: extensions.Indicator) -> Evaluator:  # noqa: ARG001 - as the others
    from soc.detect.beyond.indicator_match import IndicatorMatch

    return IndicatorMatch(shared.indicators, extension)


def _silence(shared: Shared, rule: Rule, extension: extensions.Silence) -> Evaluator:
    from soc.detect.beyond.silence import Silences

    return Silences(shared.store, rule, extension, dry_run=shared.dry_run, scope=shared.scope)


def _seasons(shared: Shared, rule: Rule, extension: extensions.Spike | extensions.Flat) -> Evaluator:
    from soc.detect.beyond.seasons import Seasons

    return Seasons(shared.store, rule, extension, dry_run=shared.dry_run, scope=shared.scope)


def _rare(shared: Shared, rule: Rule, extension: extensions.Rare) -> Evaluator:
    from soc.detect.beyond.rare import RareValues

    return RareValues(shared.store, rule, extension, dry_run=shared.dry_run, scope=shared.scope)


_MAKERS: Mapping[type, Callable[..., Evaluator]] = {
    extensions.NewTerm: _new_term,
    extensions.Indicator: _indicator,
    extensions.Silence: _silence,
    extensions.Spike: _seasons,
    extensions.Flat: _seasons,
    extensions.Rare: _rare,
}


def stages_for(
    store: Store,
    rules: Sequence[Rule],
    *,
    register: Register | None = None,
    dry_run: bool = False,
    keep: bool = True,
    scope: str = "",
) -> list[BeyondStage]:
    """The stage for the extensions of these rules; none when no rule has one. The rest as for the stage."""
    stage = BeyondStage(store, rules, register=register, dry_run=dry_run, keep=keep, scope=scope)
    return [stage] if stage.rules else []
