"""Is it working now? One line for each part of the work: store, collection, sweep, queue, runs.

Looks at what the parts left behind (checkpoints, positions, documents); starts and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from soc.doctor import Check, State, check_disk, correct_paths, files_of
from soc.errors import ContentError, SocError
from soc.event import moment
from soc.timing import ago

if TYPE_CHECKING:
    from collections.abc import Callable

    from soc.config import Config
    from soc.store.contract import Store

LATE_SWEEP = timedelta(minutes=15)
"""A sweep that left events waiting for longer than this does not work."""


def examine(config: Config, open_store: Callable[[], Store], now: datetime | None = None) -> Iterator[Check]:
    """All signs of life. `now`: aware, default the system clock."""
    now = now or datetime.now(UTC)
    yield from check_collect(config, now)
    try:
        store = open_store()
        status = store.status()
    except SocError as error:
        yield Check("store", State.FAILED, str(error), error.hint or "soc doctor")
        return
    newest = f", the newest from {ago(moment(status.newest), now)}" if status.newest else ""
    yield Check("store", State.OK, f"{status.name}: {status.events:,} events{newest}")
    yield from check_rules(config)
    yield from check_published(config, store)
    yield from check_sweep(store, now)
    yield from check_alerts(store, now)
    yield from check_runs(store)
    yield from check_dead_letters(store)
    yield from (check for check in check_disk(config) if check.state is not State.OK)


def check_collect(config: Config, now: datetime) -> Iterator[Check]:
    """Each configured source: when it was last read, how much waits, and whether its counts balance."""
    from soc.collect.checkpoint import Checkpoint, state_folder
    from soc.collect.preview import preview

    try:
        checkpoint = Checkpoint.look(state_folder(config.state, config.store.target, config.store.space))
    except SocError as error:
        yield Check("collect", State.FAILED, str(error), error.hint)
        return
    for source in config.sources:
        name = f"source {source.name}"
        lives = checkpoint.of(source.name)
        if not lives:
            if files_of(source):
                yield Check(name, State.WARNING, "never read", "soc collect run --once")
            else:
                found = f"no file matches {', '.join(source.paths)}"
                yield Check(name, State.WARNING, found, correct_paths(config))
            continue
        total = sum(life.counts.stored for life in lives)
        seen = max(life.seen for life in lives)
        found = f"{total:,} events, last read {ago(moment(seen), now) if seen else 'never'}"
        unbalanced = [life.path for life in lives if not life.counts.balanced]
        waiting = sum(int(due.row["bytes"]) for due in preview([source], checkpoint))
        if unbalanced:
            yield Check(name, State.FAILED, f"{found}; the ledger does not balance", "soc collect ledger")
        elif waiting:
            yield Check(name, State.WARNING, f"{found}; {waiting:,} bytes wait", "soc collect run --once")
        else:
            yield Check(name, State.OK, found)


def check_rules(config: Config) -> Iterator[Check]:
    """Broken rules, at which every sweep stops; nothing when there are none."""
    from soc.detect.ruleset import ruleset_for

    try:
        errors = ruleset_for(config).errors
    except SocError as error:
        yield Check("rules", State.FAILED, f"{error}; a sweep stops at this", error.hint or "soc rule lint")
        return
    if errors:
        found = f"{len(errors)} problem{'s' * (len(errors) > 1)}, at which a sweep stops; first: {errors[0]}"
        yield Check("rules", State.FAILED, found, "soc rule lint")


def check_published(config: Config, store: Store) -> Iterator[Check]:
    """The published rules, and sweepers that have not taken them up; nothing where files are used."""
    from soc.detect.releases.published import head
    from soc.detect.sweep_status import SWEEPER

    try:
        found = head(store)
    except ContentError as error:
        yield Check("published rules", State.FAILED, error.message, "soc rule publish")
        return
    if found is None:
        if config.published:
            said = "none in this store, and a sweep stops at this"
            yield Check("published rules", State.FAILED, said, "soc rule publish")
        return
    release = found.release
    bodies = [d.body for d in store.find(SWEEPER)]
    behind = [b for b in bodies if b.get("commit") not in ("", None, release.label)]
    late = [b for b in behind if str(b.get("swept_at", "")) > release.at]
    if late:
        said = f"{release}; {len(late)} of {len(bodies)} sweepers still go on with an earlier set"
        yield Check("published rules", State.WARNING, said, "soc sweep status")
    else:
        yield Check("published rules", State.OK, str(release))


def check_sweep(store: Store, now: datetime) -> Iterator[Check]:
    """Each position of a sweep: when it moved last, what waits, and which rules cannot see."""
    from soc.detect import sweep

    positions = sweep.status(store)
    if not positions:
        yield Check("sweep", State.WARNING, "nothing was swept yet", "soc sweep --once --from beginning")
    for position in positions:
        name = "sweep" if position.name == sweep.NAME else f"sweep {position.name}"
        swept = moment(position.swept_at)
        found = f"{position.rules} rules, last {ago(swept, now)}, {position.waiting:,} events wait"
        sweepers = sum(not worker.ended for worker in position.workers)
        if sweepers > 1:
            found += f", {sweepers} sweepers"
        late = position.waiting and now - swept > LATE_SWEEP
        yield Check(name, State.FAILED if late else State.OK, found, "soc sweep --every 60s" if late else "")
        if position.blind:
            found = f"{len(position.blind)} rules lack a field that they need"
            yield Check("blind", State.WARNING, found, "soc sweep ledger")


def check_alerts(store: Store, now: datetime) -> Iterator[Check]:
    """How many alerts are open, by level, and how long the oldest waits for somebody."""
    from soc.respond.alerts import LEVELS, list_alerts, wanted

    views = list_alerts(store, wanted(status="open"))
    levels = Counter(view.level for view in views)
    said = ", ".join(f"{levels[level]} {level}" for level in LEVELS if levels[level]) or "none"
    if views:
        oldest = min(moment(view.body["first"]) for view in views)
        said += f"; the oldest from {ago(oldest, now)}"
    yield Check("open alerts", State.OK, said, "soc alert next" if views else "")


def check_runs(store: Store) -> Iterator[Check]:
    """Playbook runs that wait for a person."""
    from soc.playbook import journal
    from soc.playbook.state import Phase

    waiting = [run for run in journal.find(store) if run.phase is not Phase.ENDED]
    if waiting:
        names = ", ".join(run.id for run in waiting[:5]) + (" …" if len(waiting) > 5 else "")
        yield Check(
            "runs", State.WARNING, f"{len(waiting)} not ended: {names}", f"soc run show {waiting[0].id}"
        )


def check_dead_letters(store: Store) -> Iterator[Check]:
    """Events that the store refused and that are parked."""
    from soc.collect.deadletters import letters

    parked = sum(1 for _ in letters(store, limit=10_000))
    if parked:
        yield Check("dead letters", State.WARNING, f"{parked:,} parked", "soc deadletter list")
