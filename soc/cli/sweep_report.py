"""What a sweep did, in words and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from soc.cli.times import brief, narrow

if TYPE_CHECKING:
    from soc.detect.gaps import Gaps
    from soc.detect.ledger import RuleSeen
    from soc.detect.places import Place
    from soc.detect.sweep import Estimate, SweepResult, SweepStatus
    from soc.detect.sweep_job import SweepJob
    from soc.detect.sweep_parts import Left

SHOWN_BLIND = 5
SHOWN_PARTS = 10


def many(number: int, thing: str) -> str:
    """`1 event`, `12,345 events`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def summary(result: SweepResult) -> dict[str, Any]:
    """A sweep as one thing, for programs."""
    return {
        "events": result.events,
        "hits": result.hits,
        "alerts_opened": len(result.alerts.opened),
        "alerts_extended": len(result.alerts.extended),
        "overflowed": result.alerts.overflowed,
        "undecided": result.undecided,
        "hidden": result.hidden,
        "shadow": result.shadow,
        "blind": len(result.blind),
        "skipped": result.skipped,
        "seconds": round(result.seconds, 3),
        "plans": result.plans,
        "stopped": result.stopped,
        "left": [asdict(left) for left in result.left],
        "notes": result.notes,
        "opened": result.alerts.opened,
        "extended": result.alerts.extended,
        "rules": {rule: {"matched": m, "undecided": u} for rule, (m, u) in result.by_rule.items()},
    }


def line(result: SweepResult) -> str:
    """A sweep in one line."""
    parts = [
        many(result.events, "event"),
        many(result.hits, "hit"),
        f"{many(len(result.alerts.opened), 'new alert')}",
        f"{len(result.alerts.extended)} extended",
    ]
    if result.hidden:
        parts.append(f"{many(result.hidden, 'hit')} hidden by exceptions")
    if result.undecided:
        parts.append(f"{result.undecided} undecided")
    if result.shadow:
        parts.append(f"{many(result.shadow, 'hit')} in shadow")
    if result.blind:
        parts.append(many(len(result.blind), "blind rule"))
    plan = f", plan {' and '.join(sorted(result.plans))}" if result.plans else ""
    return f"{', '.join(parts)} in {result.seconds:.1f} s{plan}"


def remarks(job: SweepJob, result: SweepResult, *, dry_run: bool) -> str:
    """A sweep for a person: what was done, what is out of the ordinary, and what to do next."""
    out = [("would be: " if dry_run else "") + line(result)]
    out += result.notes
    out += left_over(result.left)
    if result.skipped:
        again = "soc sweep --once --from beginning" + "".join(f" --rules {f}" for f in job.folders)
        out += [
            "This was the first sweep of this store, and it starts from now.",
            f"{many(result.skipped, 'event')} from before were not looked at. To sweep those too: {again}",
        ]
    if result.alerts.overflowed:
        out.append(
            f"{many(result.alerts.overflowed, 'hit')} went to an overflow alert: one rule fired on too many "
            "entities at once"
        )
    if result.correlations:
        left_out = many(result.correlations, "correlation rule")
        out.append(f"{left_out} left out: soc rule lint says what is wrong")
    out += undecidable(job)
    if result.late:
        out.append(f"{many(result.late, 'hit')} came too late for a correlation (soc.lateness of its rule)")
    blind = sorted(result.blind.items())
    titles = {rule.id: rule.title for rule in job.sweeper.rules}
    out += [f"blind: {titles.get(rule, rule)}: {why}" for rule, why in blind[:SHOWN_BLIND]]
    if len(blind) > SHOWN_BLIND:
        out.append(f"and {len(blind) - SHOWN_BLIND} more blind rules: soc sweep ledger")
    if result.alerts.opened and not dry_run:
        out.append("next: soc alert list")
    return "\n".join(out)


def undecidable(job: SweepJob) -> list[str]:
    """That some rules can find nothing, such as for a placeholder that nobody defines."""
    rules = job.rules.undecidable
    if not rules:
        return []
    return [
        f"{many(len(rules), 'rule')} cannot be decided and found nothing: soc rule list --state undecidable"
    ]


def left_over(left: Sequence[Left]) -> list[str]:
    """What a sweep did not bring to its end, and who is at it."""
    out = []
    for part in left:
        waits = f", {many(part.waiting, 'event')} wait there" if part.waiting else ""
        who = f" ({part.by})" if part.by else ""
        out.append(f"left: {part.part}: {part.why}{who}{waits}")
    if any(part.by for part in left):
        out.append("Nothing is missed or counted twice: whoever has a part goes on with it. soc sweep status")
    return out


def at_work(places: Sequence[Place]) -> str:
    """Whom a sweep waits for."""
    who = sorted({str(place.holder) for place in places if place.holder})
    lease = max((place.holder.lease for place in places if place.holder), default=0)
    silence = f"after {lease:g} s of silence it is taken over"
    return f"waiting for {', '.join(who)}, at work on what is left; {silence}"


def forecast(expected: Estimate) -> str:
    """What reading old events means."""
    about = "" if expected.whole else f" (by the newest {expected.sampled:,} of them)"
    return (
        f"{many(expected.events, 'event')} to read; about "
        f"{many(expected.expected_alerts, 'alert')} to expect{about}. "
        "What was swept before is not counted on alerts again."
    )


def backfill_line(result: SweepResult, *, dry_run: bool) -> str:
    """What a backfill did, for a person."""
    head = "would be: " if dry_run else ""
    out = [head + line(result), *result.notes, *left_over(result.left)]
    if result.stopped:
        out.append("stopped; the same command goes on from there")
    if result.alerts.overflowed:
        out.append(
            f"{many(result.alerts.overflowed, 'hit')} went to an overflow alert: too many alerts of one rule"
        )
    if result.alerts.opened and not dry_run:
        out.append("next: soc alert list backfill:true")
    return "\n".join(out)


def short_commit(commit: str) -> str:
    """The commit of the published rules that a sweeper has, or `files`."""
    return f"{commit[:12]}{'+changes' if commit.endswith('+changes') else ''}" or "files"


def status_details(position: SweepStatus) -> Iterator[str]:
    """The sweepers of a position, and the parts of the feed that somebody reads or that wait, as lines."""
    for worker in position.workers:
        said = [
            f"last sweep {brief(worker.swept_at, narrow=narrow(), seconds=True)}",
            f"{worker.rules} rules",
        ]
        if worker.commit:
            said.append(f"commit {short_commit(worker.commit)}")
        plan = f", plan {worker.plan}" if worker.plan else ""
        said.append(f"{many(worker.events, 'event')} in {worker.seconds:.1f} s{plan}")
        if worker.holds:
            said.append(f"at work on {many(worker.holds, 'part')}")
        if worker.ended:
            said.append("has ended")
        yield f"  {worker.worker}: {', '.join(said)}"
    shown = [part for part in position.parts if part.holder or (part.waiting and len(position.parts) > 1)]
    for part in shown[:SHOWN_PARTS]:
        held = f", read by {part.holder}" if part.holder else ""
        if part.silent > part.lease > 0:
            held += f", silent for {part.silent:.0f} s: the next sweep takes it over"
        yield f"  {part.part}: {many(part.waiting, 'event')} waiting{held}"
    if len(shown) > SHOWN_PARTS:
        yield f"  and {len(shown) - SHOWN_PARTS} more parts: soc sweep status --output json"


def status_rows(found: Iterable[SweepStatus], *, people: bool) -> Iterator[dict[str, Any]]:
    """Positions as rows; `people`: times in the viewer's zone, and numbers of things instead of lists."""
    for position in found:
        row = {
            **asdict(position),
            "commit": sorted({short_commit(worker.commit) for worker in position.workers}),
        }
        if people:
            row["swept_at"] = brief(position.swept_at, narrow=narrow())
            row["blind"] = len(position.blind)
        yield row


def ledger_rows(
    found: Sequence[RuleSeen], rule: str, gaps: Gaps, *, everything: bool
) -> Iterator[dict[str, Any]]:
    """The ledger as rows, of the rules that are asked for, with what each has not seen."""
    for entry in found:
        wanted = not rule or rule == entry.rule or rule.lower() in entry.title.lower()
        if wanted and (everything or entry.current):
            yield {**asdict(entry), "unseen": gaps.size(entry.rule, entry.version)}
