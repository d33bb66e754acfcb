"""The real world of a run: the clock, the store's events, and processes on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from soc.config import Config
from soc.detect.predicate import Predicate
from soc.errors import UsageError
from soc.event import Event, moment
from soc.playbook import doubts
from soc.playbook.command import Call, CommandResult, execute, still_running
from soc.playbook.model import Command, Playbook, Step
from soc.playbook.state import Run
from soc.store.contract import Store


class RealWorld:
    """See `soc.playbook.engine.World`. Commands work in `<state>/runs/<run id>`."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.config = config

    def now(self) -> datetime:
        """The system clock."""
        return datetime.now(UTC)

    def query(self, where: Predicate, since: datetime, until: datetime | None, limit: int) -> Iterator[Event]:
        """Events of the store."""
        for stored in self.store.search(where, since=since, until=until, limit=limit):
            yield stored.event

    def execute(self, run: Run, step: Command, argv: Sequence[str], text: str) -> CommandResult:
        """Run a command in the folder of the run, with the variables of the environment that it asks for."""
        secrets, missing = {}, []
        for name in step.env:
            if name in os.environ:
                secrets[name] = os.environ[name]
            else:
                missing.append(name)
        if missing:
            return CommandResult(None, error=f"the environment has no {', '.join(missing)}")
        call = Call(
            argv=argv,
            timeout=step.timeout,
            folder=self.folder(run),
            env=self._environment(run, step) | secrets,
            secrets=tuple(secrets.values()),
            input=text,
        )
        return execute(call)

    def folder(self, run: Run) -> Path:
        """Where the commands of a run work and leave files."""
        return self.config.state / "runs" / run.id

    def _environment(self, run: Run, step: Step) -> dict[str, str]:
        out = {
            "SOC_RUN": run.id,
            "SOC_STEP": step.name,
            "SOC_SUBJECT": run.subject_id,
            "SOC_FIRST_EVENT": run.first_event,
            "SOC_STATE": str(self.config.state),
            "SOC_STORE": self.config.store.target,
        }
        if self.config.store.space:
            out["SOC_SPACE"] = self.config.store.space
        if self.config.path:
            out["SOC_CONFIG"] = str(self.config.path)
        return out

    def worker(self) -> Mapping[str, Any]:
        """This process: host, process id, and when it started, so that a number used again is told apart."""
        return {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}

    def busy(self, run: Run, step: Step) -> str:
        """Who is still at work on the step; on another machine it counts as at work until its timeout."""
        if left := still_running(self.config.store.target, run.id, step.name):
            return f"process {', '.join(str(pid) for pid in left)} still runs on this machine"
        worker = run.worker
        if not worker:
            return ""
        pid, host = worker.get("pid"), worker.get("host")
        if host == socket.gethostname():
            alive = isinstance(pid, int) and pid != os.getpid() and _born(pid) == worker.get("born") != ""
            return f"process {pid} on this machine" if alive else ""
        begun = next((e["at"] for e in reversed(run.journal) if e["event"] == "intent"), "")
        if begun and isinstance(step, Command):
            until = moment(begun) + timedelta(seconds=step.timeout + 60)
            if self.now() < until:
                return f"process {pid} on {host}, which may still be at work until {until:%H:%M:%S} UTC"
        return ""

    def doubts(self, playbook: Playbook, run: Run, step: Command) -> Sequence[str]:
        """See `soc.playbook.doubts`."""
        since = self._look_back(run)
        return list(doubts.about_command(self.store, self.config, playbook, step, run.variables, since))

    def doubts_of_value(self, run: Run, type_: str, value: str) -> Sequence[str]:
        """As `doubts`, of one value that a person gave."""
        return list(doubts.about_value(self.store, self.config, type_, value, self._look_back(run)))

    def _look_back(self, run: Run) -> datetime:
        first = moment(run.first_event) if run.first_event else self.now()
        return first - doubts.LOOK_BACK


def _born(pid: int) -> str:
    """When a process started, in the kernel's ticks and with the machine's boot; empty when it is gone."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return ""
    return f"{boot}/{ticks}"


def parse_given(pairs: Sequence[str]) -> dict[str, str]:
    """`name=value` from the command line. Raises `UsageError` for what is not that."""
    out = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--var {pair!r}: name=value is expected")
        out[name] = value
    return out
