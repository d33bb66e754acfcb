"""The demo: real commands, run one after the other on a recorded day, each shown before its output.

Nothing is simulated but the traffic: the steps are those that an operator, an analyst and a response team
would type, and whoever follows them can type them again afterwards.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from soc import yamlio
from soc.demo import day
from soc.errors import ExitCode, SocError, UsageError

MARK = ".soc-demo"
"""File that says a folder is a demo's; holds the hashes of the settings files that the demo wrote."""

LOGS = "logs"

ANSWERS = {
    "look-at-file": {"file_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
    "whose": "foreign",
    "shut": "done",
    "notify": "done",
    "recover": "done",
}
"""What the people of the response team answer in the demo, by step of the playbook `web-shell`."""

Run = Callable[[list[str]], int]
"""Runs one command line of `soc` and gives its exit code."""


def prepare(folder: Path, now: datetime | None = None) -> dict[str, int]:
    """Write the day, settings, register and answers into a folder; lines by file.

    In the folder of an earlier demo, what that demo wrote is made anew; the folder itself and every other
    file in it stay, since somebody may stand there, or have written notes. Raises `UsageError` for any
    other folder that is not empty, and for what is not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError("this is not a folder", place=folder, hint="soc demo --folder NEW_FOLDER")
    if (folder / MARK).exists():
        _remove_earlier(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(
            "this folder holds something else", place=folder, hint="soc demo --folder NEW_FOLDER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    counts = day.write(folder / LOGS)
    texts = {
        "register.yml": day.REGISTER,
        day.SETTINGS: day.settings(folder, now or datetime.now(UTC)),
        "answers.yml": yamlio.dump(ANSWERS),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / MARK).write_text(
        "".join(f"{_digest(folder / name)}  {name}\n" for name in texts), encoding="utf-8"
    )
    return counts


def _remove_earlier(folder: Path) -> None:
    """Remove what an earlier demo wrote; its settings files that were edited since are kept as `NAME.old`."""
    for line in (folder / MARK).read_text("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if path.is_file() and _digest(path) != digest:
            path.replace(path.with_name(f"{path.name}.old"))
    for name in day.FILES:
        (folder / LOGS / name).unlink(missing_ok=True)
    for name in ("store", "state"):
        path = folder / name
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Tour:
    """Walks through the demo in `folder` and writes to standard output."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder = folder
        self._run = run
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def go(self) -> None:
        """The whole demo. Raises `SocError` when a step ends otherwise than it should."""
        start = time.monotonic()
        counts = prepare(self.folder)
        with _settings_of(self.folder):
            self._show_day(counts)
            self._collect_and_sweep()
            self._triage()
            self._respond()
            self._prove()
        self._end(time.monotonic() - start)

    def _show_day(self, counts: dict[str, int]) -> None:
        self.title("A day at an institution")
        self.tell(
            f"{sum(counts.values()):,} lines in {len(counts)} files, in the true formats of their programs:\n"
            "web server, sign-in, audit, mail, firewall, network sensor, Windows, a scanner's report, and\n"
            "a list from the national centre. It is an ordinary morning, and somebody is breaking in."
        )

    def _collect_and_sweep(self) -> None:
        self.title("Collect: every line becomes an event, once")
        self.do("collect", "run", "--once")
        self.title("Detect: all rules, in one pass")
        self.do("sweep", "--once", "--from", "beginning", "--quiet")
        self.do("alert", "list", "--level", "critical,high")

    def _triage(self) -> None:
        shell = self._alert("web_shell_in_upload_folder")
        noise = self._alert("web_scanner_user_agent")
        self.title("Triage: what, where, why, and what to do next")
        self.do("alert", "show", shell)
        self.do("alert", "ack", shell)
        self.tell("\nThe scanner that announced itself came from the same address. Look, then close it.")
        self.do("alert", "show", noise)
        self.do("alert", "close", noise, "--reason", "true-positive", "--note", f"part of {shell}")

    def _respond(self) -> None:
        shell = self._alert("web_shell_in_upload_folder")
        self.title("Respond: a playbook, step by step")
        self.tell("The steps of people are answered from a file here; on a terminal it asks.")
        self.do("playbook", "run", "web-shell", "--alert", shell, "--answers", "answers.yml", "--yes")
        self.do("run", "log", self._last_run())
        self.do("alert", "close", shell, "--reason", "true-positive", "--note", "contained, see the run")

    def _prove(self) -> None:
        self.title("Prove: who did what, in a chain that breaks where it is touched")
        self.do("audit", "list", "--subject", self._alert("web_shell_in_upload_folder"))
        self.do("audit", "verify")

    def _end(self, seconds: float) -> None:
        self.title(f"That was a day, in {seconds:.1f} seconds. Go on from here")
        self.tell("First, in this shell:" if activation() else "First, where its soc.yml is found:")
        for line in (*activation(), f"cd {shlex.quote(str(self.folder))}"):
            self.tell(f"  {line}")
        self.tell("Then:")
        for command, what in (
            ("soc alert list", "the rest of the queue"),
            ("soc alert next", "the most urgent one that nobody works on"),
            ("soc search 'source.ip:203.0.113.66' --limit 20", "everything the attacker touched"),
            ("soc playbook run --alert A-…", "answer another alert, with you at the keyboard"),
            ("soc status", "is it working now?"),
            ("soc rule list", "the rules that found it"),
        ):
            self.tell(f"  {command:50} # {what}")

    # showing

    def title(self, text: str) -> None:
        """A heading."""
        bold, plain = ("\x1b[1m", "\x1b[0m") if self._colour else ("", "")
        sys.stdout.write(f"\n{bold}{text}{plain}\n")

    def tell(self, text: str) -> None:
        """Some words."""
        sys.stdout.write(f"{text}\n")

    def do(self, *words: str) -> None:
        """Show a command, run it, and insist that it succeeded."""
        dim, plain = ("\x1b[36m", "\x1b[0m") if self._colour else ("", "")
        line = shlex.join(["soc", *words])
        sys.stdout.write(f"\n{dim}$ {line}{plain}\n")
        sys.stdout.flush()
        code = self._run(list(words))
        sys.stdout.flush()
        if code != ExitCode.DONE:
            raise SocError(f"the demo stopped: `{line}` ended with {code}", hint=f"look into {self.folder}")

    # looking things up, as a person reads them off the screen

    def _alert(self, rule_file: str) -> str:
        from soc import config
        from soc.respond.alerts import list_alerts
        from soc.store import open_store

        with open_store(config.load().store) as store:
            for view in list_alerts(store):
                if Path(str(view.rule["path"])).stem == rule_file:
                    return view.id
        raise SocError(f"the demo stopped: no alert of {rule_file}", hint="soc rule test")

    def _last_run(self) -> str:
        from soc import config
        from soc.playbook import journal
        from soc.store import open_store

        with open_store(config.load().store) as store:
            return max(journal.find(store), key=lambda run: run.started_at).id


def activation() -> list[str]:
    """The line that makes the word `soc` known to the shell, where it is not (a virtual environment)."""
    if shutil.which("soc"):
        return []
    programs = Path(sys.executable).parent
    if (programs / "activate").is_file():
        return [f". {shlex.quote(str(programs / 'activate'))}"]
    return [f'export PATH={shlex.quote(str(programs))}:"$PATH"']


@contextmanager
def _settings_of(folder: Path) -> Iterator[None]:
    """Work in the demo's folder with its settings alone, whatever the user's environment says."""
    before, saved = Path.cwd(), dict(os.environ)
    for name in ("SOC_STORE", "SOC_SPACE", "SOC_OUTPUT", "SOC_STORE_USER", "SOC_STORE_CA"):
        os.environ.pop(name, None)
    os.environ["SOC_CONFIG"] = str(folder / day.SETTINGS)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(saved)
