"""Carries a run forward, step by step, until it ends or a person has the turn.

What the engine needs of the world (time, searches, commands) and of the journal are two small protocols,
so that the tests in a playbook's file go through this very engine with stubbed commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from soc.detect.predicate import Predicate, Verdict
from soc.errors import ConflictError, SocError, UsageError
from soc.event import Event, moment, timestamp, values_of
from soc.playbook import conditions
from soc.playbook.answers import Answered, in_words, understand
from soc.playbook.command import CommandResult
from soc.playbook.model import Command, Decision, End, Manual, Meaning, Playbook, Query, Step
from soc.playbook.state import Phase, Reason, Run
from soc.playbook.template import UnsafeArgumentError, UnsetVariableError, arguments, fill
from soc.playbook.values import MAX_ITEMS, TYPES, check, check_many, shown


class World(Protocol):
    """What steps act upon."""

    def now(self) -> datetime:
        """The time, aware."""

    def query(self, where: Predicate, since: datetime, until: datetime | None, limit: int) -> Iterable[Event]:
        """Events of the store; raises `SocError` when the store fails."""

    def execute(self, run: Run, step: Command, argv: Sequence[str], text: str) -> CommandResult:
        """Run a command to its end; `text` is its standard input."""

    def worker(self) -> Mapping[str, Any]:
        """Who carries out a step, so that another process can tell whether that one still lives."""

    def busy(self, run: Run, step: Step) -> str:
        """Who is still at work on a step that was begun, in words; empty when nobody is."""

    def doubts(self, playbook: Playbook, run: Run, step: Command) -> Sequence[str]:
        """What is doubtful about the values that a command would act upon, such as a host nobody knows."""


class Journal(Protocol):
    """Where a run is kept."""

    @property
    def user(self) -> str:
        """Who acts."""

    def save(self, run: Run, action: str, on_behalf_of: str = "") -> Run:
        """Write a run if it is still at the version that this state was read as; the run as written.

        Raises `StaleRunError` when somebody else wrote first.
        """


class StaleRunError(Exception):
    """The run was changed by somebody else; `current` is what is there now."""

    def __init__(self, current: Run | None) -> None:
        super().__init__("the run was changed")
        self.current = current


@dataclass
class Engine:
    """Carries runs of one playbook. `answers` maps steps to answers that were prepared (a file).

    `approve` agrees to every command that asks and is in no doubt; `watch` is called after each change.
    """

    playbook: Playbook
    journal: Journal
    world: World
    answers: dict[str, Any] = field(default_factory=dict)
    approve: bool = False
    watch: Callable[[Run], None] = lambda _: None

    def advance(self, run: Run) -> Run:
        """Go on until the run ends or waits for a person.

        Raises `ConflictError` when somebody else carries the run forward at the same time, or is still
        at work on its step.
        """
        while run.phase is not Phase.ENDED:
            if run.phase is Phase.ACTING:
                run = self._pick_up(run)
            elif run.phase is Phase.WAITING:
                if run.step in self.answers:
                    run = self.answer(run, run.step, self.answers.pop(run.step), prepared=True)
                elif run.reason is Reason.CONFIRM and self.approve and not run.journal[-1].get("doubts"):
                    run = self.answer(run, run.step, "yes")
                else:
                    break
            else:
                run = self._begin(run)
        return run

    def answer(
        self,
        run: Run,
        name: str,
        value: Any,
        *,
        note: str = "",
        on_behalf_of: str = "",
        prepared: bool = False,
    ) -> Run:
        """Take a person's answer to the step that waits for it, without going on.

        Raises `UsageError` for an answer that does not fit, `ConflictError` when somebody else answered.
        """
        step = self._turn_of(run, name, value)
        answered = understand(step, run, value, self.playbook)
        if answered.again and (who := self.world.busy(run, step)):
            raise ConflictError(f"the command of {name} has not ended: {who}", mine=in_words(value))
        run = run.with_entry(
            "answer",
            self.world.now(),
            self.journal.user,
            value=answered.shown,
            variables=dict(answered.variables) or None,
            note=note or None,
            on_behalf_of=on_behalf_of or None,
            prepared=prepared or None,
        )
        run = self._after_answer(run, step, answered)
        return self._save(run, "run.answer", mine=in_words(value), on_behalf_of=on_behalf_of)

    def preview_answer(self, run: Run, name: str, value: Any) -> Run:
        """As `answer`, but nothing is written."""
        step = self._turn_of(run, name, value)
        return self._after_answer(run, step, understand(step, run, value, self.playbook))

    # answers

    def _turn_of(self, run: Run, name: str, value: Any) -> Step:
        step = self.playbook.steps.get(name)
        if step is None:
            raise UsageError(f"{run.playbook} has no step {name!r}", hint=f"soc run show {run.id}")
        unknown = run.phase is Phase.ACTING and not self.world.busy(run, step)
        if run.step == name and (run.phase is Phase.WAITING or unknown):
            return step
        raise self._not_its_turn(run, name, in_words(value))

    def _not_its_turn(self, run: Run, name: str, mine: str) -> SocError:
        if theirs := run.last_answer(name):
            words = f"{theirs['by']} answered {theirs['value']!r} at {theirs['at']}"
            return ConflictError(
                f"{name} of {run.id} was answered already",
                mine=mine,
                theirs=words,
                hint=f"soc run show {run.id}",
            )
        if run.phase is Phase.ENDED:
            return UsageError(f"{run.id} has ended ({run.outcome})", hint=f"soc run log {run.id}")
        if run.phase is Phase.ACTING and run.step == name:
            return ConflictError(
                f"{name} of {run.id} is being carried out", mine=mine, hint=f"soc run show {run.id}"
            )
        return UsageError(
            f"{run.id} does not wait for {name} but stands at {run.step}", hint=f"soc run show {run.id}"
        )

    def _after_answer(self, run: Run, step: Step, answered: Answered) -> Run:
        run = replace(run, variables={**run.variables, **answered.variables})
        if answered.confirmed:
            return replace(run, phase=Phase.READY, reason=None, confirmed=step.name)
        if answered.again:
            return replace(run, phase=Phase.READY, reason=None, confirmed=step.name)
        if answered.failed:
            on_failure = step.arrows().get("on_failure", "")
            if on_failure:
                return _moved(run, on_failure)
            if run.reason in (Reason.FAILED, Reason.UNKNOWN) or run.phase is Phase.ACTING:
                return self._ended(run, "failed", f"{step.name} failed")
            return _waiting(run, step, Reason.FAILED)
        return _moved(run, answered.target)

    # steps

    def _begin(self, run: Run) -> Run:
        step = self.playbook.steps[run.step]
        if isinstance(step, Command):
            return self._command(run, step)
        if isinstance(step, Query):
            return self._query(run, step)
        if isinstance(step, Decision) and not step.ask:
            return self._decide(run, step)
        if isinstance(step, End):
            run = self._ended(run, step.outcome, fill(step.summary, run.variables))
            return self._save(run, "run.end")
        return self._wait(run, step, Reason.MANUAL if isinstance(step, Manual) else Reason.QUESTION)

    def _wait(self, run: Run, step: Step, reason: Reason, **detail: Any) -> Run:
        run = run.with_entry("turn", self.world.now(), self.journal.user, reason=str(reason), **detail)
        return self._save(_waiting(run, step, reason), "run.turn")

    def _ended(self, run: Run, outcome: str, summary: str) -> Run:
        now = self.world.now()
        run = run.with_entry("ended", now, self.journal.user, outcome=outcome, summary=summary or None)
        return replace(
            run,
            phase=Phase.ENDED,
            reason=None,
            outcome=outcome,
            ended_at=timestamp(now),
            worker={},
            confirmed="",
        )

    def _decide(self, run: Run, step: Decision) -> Run:
        if step.switch:
            value = run.variables.get(step.switch)
            target = step.cases.get(shown(value), "") or step.cases.get(str(value).lower(), step.default)
            because = f"{step.switch} is {shown(value) or 'not known'}"
        else:
            verdict = conditions.decide(step.when, run.variables)
            if verdict is Verdict.UNDECIDED:
                why = "the condition could not be decided in time"
                return self._wait(run, step, Reason.QUESTION, detail=why)
            target = step.then if verdict is Verdict.TRUE else step.else_
            because = f"{step.when} is {verdict}"
        run = run.with_entry(
            "result", self.world.now(), self.journal.user, ok=True, detail=because, next=target
        )
        return self._save(_moved(run, target), "run.step")

    def _intent(self, run: Run, **detail: Any) -> Run:
        """Write down that a step begins, before it does."""
        attempt = run.attempt + 1
        run = run.with_entry("intent", self.world.now(), self.journal.user, attempt=attempt, **detail)
        run = replace(run, phase=Phase.ACTING, reason=None, attempt=attempt, worker=dict(self.world.worker()))
        return self._save(run, "run.intent")

    def _result(self, run: Run, step: Step, *, ok: bool, gained: Mapping[str, Any], **detail: Any) -> Run:
        """Write down how a step ended, and where the run goes from there."""
        label = "next" if ok else "on_failure"
        target = step.arrows().get(label, "")
        run = run.with_entry(
            "result", self.world.now(), self.journal.user, ok=ok, next=target or None, **detail
        )
        run = replace(run, variables={**run.variables, **gained}, worker={})
        run = _moved(run, target) if target else _waiting(run, step, Reason.FAILED)
        return self._save(run, "run.result")

    def _query(self, run: Run, step: Query) -> Run:
        run = self._intent(run, query=conditions.shown_query(step.query, run.variables))
        try:
            where = conditions.bind(step.query, run.variables)
            since, until = window(step, run, self.world.now())
            tally = _Tally(step)
            tally.take(self.world.query(where, since, until, step.limit))
        except (SocError, UnsetVariableError) as error:
            return self._result(run, step, ok=False, gained={}, detail=str(error))
        gained, remarks = tally.gained(self.playbook)
        return self._result(
            run,
            step,
            ok=True,
            gained=gained,
            count=tally.count,
            more=True if tally.count >= step.limit else None,
            variables=gained or None,
            remarks=remarks or None,
        )

    def _command(self, run: Run, step: Command) -> Run:
        try:
            argv = arguments(step.run, run.variables)
        except (UnsafeArgumentError, UnsetVariableError) as error:
            return self._result(run, step, ok=False, gained={}, detail=f"not run: {error}")
        if step.asks and run.confirmed != step.name:
            doubts = list(self.world.doubts(self.playbook, run, step))
            return self._wait(run, step, Reason.CONFIRM, command=argv, doubts=doubts or None)
        run = self._intent(run, command=argv)
        try:
            done = self.world.execute(run, step, argv, fill(step.input, run.variables))
        except KeyboardInterrupt:
            run = run.with_entry("unknown", self.world.now(), self.journal.user, detail="interrupted")
            self._save(_waiting(run, step, Reason.UNKNOWN), "run.unknown")
            raise
        meaning, gained = judge(step, done, self.playbook)
        try:
            return self._result(
                run,
                step,
                ok=meaning.ok,
                gained=gained,
                exit=done.exit,
                detail=meaning.words,
                unchanged=meaning.unchanged or None,
                stdout=done.stdout or None,
                stderr=done.stderr or None,
                dropped=done.dropped or None,
                milliseconds=done.milliseconds,
            )
        except (SocError, OSError) as error:
            if isinstance(error, ConflictError):
                raise
            # the store will only know that it began: the person at hand must hear how it ended
            word = "done" if meaning.ok else "failed"
            ended = f"the command of {step.name} is {word} ({meaning.words})"
            raise SocError(
                f"{ended}, but this could not be written: {error}",
                hint=f"when the store is back: soc run answer {run.id} {step.name} {word}",
            ) from error

    def _pick_up(self, run: Run) -> Run:
        """Go on with a step that somebody began and did not end."""
        step = self.playbook.steps[run.step]
        if who := self.world.busy(run, step):
            raise ConflictError(
                f"{step.name} of {run.id} is being carried out: {who}", hint=f"soc run show {run.id}"
            )
        now = self.world.now()
        if isinstance(step, Query):  # a search changes nothing: doing it again is safe
            run = run.with_entry("resumed", now, self.journal.user, detail="the search is made again")
            return self._save(replace(run, phase=Phase.READY, worker={}), "run.resume")
        run = run.with_entry("unknown", now, self.journal.user, detail="no result was written down")
        return self._save(_waiting(run, step, Reason.UNKNOWN), "run.unknown")

    def _save(self, run: Run, action: str, *, mine: str = "", on_behalf_of: str = "") -> Run:
        try:
            saved = self.journal.save(run, action, on_behalf_of)
        except StaleRunError as stale:
            raise _conflict(run, stale.current, mine) from None
        self.watch(saved)
        return saved


def _conflict(run: Run, current: Run | None, mine: str) -> ConflictError:
    hint = f"soc run show {run.id}"
    if current is None:
        return ConflictError(f"{run.id} is gone", mine=mine)
    last = current.journal[-1]
    words = f"{last['by']} at {last['at']}: {last['event']} at {last['step']}"
    given = next((e for e in reversed(current.journal) if e["event"] == "answer"), None)
    if given:
        words = f"{given['by']} answered {given['value']!r} to {given['step']} at {given['at']}"
    return ConflictError(f"{run.id} was carried on by somebody else", mine=mine, theirs=words, hint=hint)


def _waiting(run: Run, step: Step, reason: Reason) -> Run:
    return replace(run, phase=Phase.WAITING, reason=reason, who=step.who, worker={})


def _moved(run: Run, target: str) -> Run:
    return replace(run, step=target, phase=Phase.READY, reason=None, confirmed="", attempt=0)


def window(step: Query, run: Run, now: datetime) -> tuple[datetime, datetime | None]:
    """The time that a query covers: around the events of the alert, else up to now."""
    first = moment(run.first_event) if run.first_event else now
    last = moment(run.last_event) if run.last_event else now
    return first - step.since, last + step.until if step.until is not None else None


class _Tally:
    """Counts what a query found and keeps the distinct values it was asked for."""

    def __init__(self, step: Query) -> None:
        self.step = step
        self.count = 0
        self.values: dict[str, dict[Any, None]] = {name: {} for name in step.values}

    def take(self, events: Iterable[Event]) -> None:
        for event in _bounded(events, self.step.limit):
            self.count += 1
            for name, field_name in self.step.values.items():
                kept = self.values[name]
                for value in values_of(event, field_name):
                    if len(kept) <= MAX_ITEMS:
                        kept[value] = None

    def gained(self, playbook: Playbook) -> tuple[dict[str, Any], list[str]]:
        gained: dict[str, Any] = {self.step.count: self.count} if self.step.count else {}
        remarks = []
        for name, values in self.values.items():
            variable = playbook.variables[name]
            good, reasons = check_many(variable.type, list(values))
            remarks += [f"{name}: a value is left out, {reason}" for reason in reasons]
            if variable.many:
                gained[name] = good
            elif good:
                gained[name] = good[0]
        return gained, remarks


def _bounded(events: Iterable[Event], limit: int) -> Iterator[Event]:
    for number, event in enumerate(events):
        if number >= limit:
            return
        yield event


def judge(step: Command, done: CommandResult, playbook: Playbook) -> tuple[Meaning, dict[str, Any]]:
    """Whether a command did its work, what that means in words, and the variables it set."""
    if done.timed_out:
        return Meaning(False, f"ended after {step.timeout} s; it may have done part of its work"), {}
    if done.exit is None:
        return Meaning(False, f"did not start: {done.error}"), {}
    if done.exit < 0:
        return Meaning(False, f"ended by signal {-done.exit}"), {}
    meaning = step.exit_codes.get(done.exit, Meaning(done.exit == 0))
    gained: dict[str, Any] = {step.exit_code: done.exit} if step.exit_code else {}
    if meaning.ok and step.output:
        variable = playbook.variables[step.output]
        try:
            gained[step.output] = check(variable.type, done.stdout.strip())
        except ValueError as error:
            what = TYPES[variable.type].title
            words = f"exit {done.exit}, but what it printed is {error}; {what} was expected"
            return Meaning(False, words), gained
        if variable.many:
            gained[step.output] = [gained[step.output]]
    return meaning._replace(words=meaning.words or f"exit {done.exit}"), gained
