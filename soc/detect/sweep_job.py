"""Sweeping as configured: which rules, which position, the register; once, or at intervals for days.

Rules are read again when one of their files changed, so that a new rule works without a restart. When the
new ones are broken, the last good set goes on, and that is said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soc.config import cache_folder
from soc.detect.leases import Worker
from soc.detect.plan import Plan
from soc.detect.releases.published import PublishedRules
from soc.detect.sweep import NAME, PATIENCE, Estimate, Start, Sweeper, SweepResult, estimate
from soc.errors import ContentError, SocError

if TYPE_CHECKING:
    from soc.config import Config
    from soc.detect.places import Place
    from soc.detect.ruleset import Ruleset
    from soc.store.contract import Store

ASK_EVENTS = 200_000
ASK_ALERTS = 50
"""From how many events or expected alerts on reading old events wants a confirmation."""


def position_name(folders: Sequence[Path]) -> str:
    """Whose position: that of the configured rules, or of exactly these folders, which then miss nothing that
    the configured rules have swept already."""
    if not folders:
        return NAME
    joined = "\0".join(sorted(str(folder.resolve()) for folder in folders))
    return f"{NAME}-{hashlib.blake2b(joined.encode(), digest_size=4).hexdigest()}"


def _beside(store: Store, index: str) -> Store:
    from soc.store.elastic_foreign import ForeignStore

    return ForeignStore.beside(store, index)


class SweepJob:
    """A sweep with the rules and the register of a configuration."""

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        folders: Sequence[Path] = (),
        published: bool | None = None,
        keep_going: bool = False,
        dry_run: bool = False,
        plan: Plan = Plan.AUTO,
        index: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`folders`: rules to use instead of the configured ones. `keep_going`: leave broken rules out.

        `published`: use the set that is published in the store; None: as the configuration says. `plan`: see
        `soc.detect.plan`. `index`: sweep the indices of others that this pattern names, in the same cluster.

        Raises `ContentError` with all problems of the rules or of the register.
        """
        from soc.respond.register import load_register

        self.config = config
        self.store = _beside(store, index) if index else store
        self.folders = list(folders)
        self.keep_going = keep_going
        self.dry_run = dry_run
        self.plan = plan
        self.name = position_name(folders) + (f":{index}" if index else "")
        self.register = load_register(config.register, config.severity)
        self._say = say
        self._said = ""
        if published is None:
            published = config.published and not self.folders
        self._published = PublishedRules(store, cache_folder(), say) if published else None
        self.worker = Worker.here()
        self._signature = self._files()
        self.rules = self._load(first=True)
        if self._published and self._published.behind:
            self._signature = ""  # so that the set that holds is tried again at the next sweep
        self.sweeper = self._sweeper()

    @property
    def broken(self) -> bool:
        """Whether rules were left out."""
        return bool(self.rules.errors)

    def run(
        self,
        start: Start | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int], None] = lambda _: None,
        patience: float = PATIENCE,
        waiting: Callable[[Sequence[Place]], None] = lambda _: None,
    ) -> SweepResult:
        """Sweep once, as `Sweeper.run`."""
        return self.sweeper.run(start, stop=stop, progress=progress, patience=patience, waiting=waiting)

    def refresh(self) -> None:
        """Take up rules whose files changed since, or another published set, as a whole."""
        signature = self._files()
        if signature == self._signature:
            return
        try:
            self.rules = self._load()
        except ContentError as error:
            said = "\n".join(str(problem) for problem in error.problems)
            if said != self._said:
                self._say(said)
                self._say("the rules were changed and are broken; going on with those from before")
            self._said = said
            if not self._published:  # files change again when they are corrected, a store may heal by itself
                self._signature = signature
            return
        self._signature, self._said = signature, ""
        self.sweeper = self._sweeper()
        commit = f" of commit {self.rules.commit[:12]}" if self.rules.commit else ""
        self._say(f"the rules were changed; going on with {len(self.sweeper.rules)}{commit}")

    def estimate(self, start: Start) -> Estimate:
        """What reading old events would bring."""
        return estimate(self.store, self.rules.rules, start)

    def _load(self, *, first: bool = False) -> Ruleset:
        from soc.detect.ruleset import declared_for, load_rules, ruleset_for

        if self._published:
            rules = self._published.begin() if first else self._published.load()
        elif self.folders:
            rules = load_rules(
                self.folders,
                declared=declared_for(self.config),
                placeholders=self.config.placeholders,
            )
        else:
            rules = ruleset_for(self.config)
        if not self.keep_going:
            rules.require_sound()
        if not rules.runnable:
            places = ", ".join(str(f) for f in rules.folders) or "no folder"
            raise SocError(f"there is no rule to sweep with in {places}", hint="soc rule list")
        return rules

    def _sweeper(self) -> Sweeper:
        return Sweeper(
            self.store,
            self.rules.rules,
            name=self.name,
            register=self.register,
            dry_run=self.dry_run,
            commit=self.rules.commit,
            worker=self.worker,
            plan=self.plan,
        )

    def _files(self) -> str:
        from soc.content import shipped
        from soc.detect.placeholders import files_of

        if self._published:
            return self._published.signature()
        digest = hashlib.blake2b(digest_size=16)
        folders = self.folders or [shipped("rules"), *self.config.rules]
        paths = [*files_of(folders, self.config.placeholders).values()]
        for folder in folders:
            paths += [folder] if folder.is_file() else sorted(folder.rglob("*.y*ml"))
        for path in paths:
            try:
                facts = path.stat()
            except OSError:
                continue
            digest.update(f"{path}\0{facts.st_mtime_ns}\0{facts.st_size}\n".encode())
        return digest.hexdigest()
