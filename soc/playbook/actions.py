"""`soc-action`: simple, safe actions for the command steps of playbooks, on any machine.

    soc-action list add NAME VALUE [--note TEXT]       put a value on a plain list
    soc-action list remove NAME VALUE [--note TEXT]    take it off again (the undo)
    soc-action ticket open TITLE [--for TEAM]          write a ticket; its text comes on standard input
    soc-action ticket withdraw RUN-STEP                mark it as withdrawn (the undo)
    soc-action evidence FIELD VALUE [--before 24h]     copy events out of the store, with their SHA-256

Lists are text files with one value a line in `<state>/lists`, the form that firewalls, resolvers and mail
gateways read as an external block list; who put what on and why stands beside each in a `.log.jsonl`.
Tickets go to `<state>/tickets`; evidence, from a time before the alert until now, to the folder of the run.
Every action may be repeated without harm. A site puts its own program in its place in a playbook of its own,
or by `--var`.

Exit codes: 0 done, 2 wrong use, 3 nothing to do (it was so already), 4 no such event, 1 failed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from soc.errors import SocError
from soc.event import moment, timestamp

ALREADY = 3
NOTHING = 4


def state() -> Path:
    """The folder of this program's state, as the run says it, else as the configuration does."""
    if told := os.environ.get("SOC_STATE"):
        return Path(told).resolve()
    from soc import config

    return config.load().state


def _context() -> dict[str, str]:
    named = {"run": "SOC_RUN", "step": "SOC_STEP", "subject": "SOC_SUBJECT"}
    return {key: os.environ[name] for key, name in named.items() if name in os.environ}


def _ticket(key: str) -> Path:
    return state() / "tickets" / f"{re.sub(r'[^A-Za-z0-9_-]', '_', key)}.md"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time changes what stands beside this lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, and on disk before this returns."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # firewalls and gateways read it as another user
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def change_list(name: str, value: str, *, add: bool, note: str) -> bool:
    """Put a value on a list or take it off; False when it was so already."""
    path = state() / "lists" / f"{name}.txt"
    with _locked(path):
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if (value in lines) is add:
            return False
        lines = [*lines, value] if add else [line for line in lines if line != value]
        entry = {"at": timestamp(datetime.now(UTC)), "action": "add" if add else "remove", "value": value}
        with path.with_suffix(".log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry | {"note": note} | _context(), ensure_ascii=False) + "\n")
        _replace(path, "".join(f"{line}\n" for line in lines))
    return True


def open_ticket(title: str, team: str, due: str, body: str) -> tuple[Path, bool]:
    """Write a ticket of this step of this run, once; its file and whether it is new."""
    context = _context()
    path = _ticket("-".join(context.get(part, "none") for part in ("run", "step")))
    head = [f"# {title}", ""]
    head += [f"{label}: {value}" for label, value in (("For", team), ("Due", due)) if value]
    head += [f"{key.capitalize()}: {value}" for key, value in context.items()]
    with _locked(path):
        if path.exists():
            return path, False
        _replace(path, "\n".join([*head, f"Opened: {timestamp(datetime.now(UTC))}", "", body.rstrip(), ""]))
    return path, True


def withdraw_ticket(key: str) -> bool:
    """Mark a ticket as withdrawn; False when it was so already. Raises `SocError` when there is none."""
    path = _ticket(key)
    with _locked(path):
        if not path.exists():
            raise SocError(f"there is no ticket {path}")
        text = path.read_text("utf-8")
        if "\nWithdrawn: " in text:
            return False
        _replace(path, f"{text}\nWithdrawn: {timestamp(datetime.now(UTC))}\n")
    return True


def copy_evidence(field: str, value: str, before: str, limit: int) -> tuple[Path, int, str]:
    """Copy the events whose field is a value into a file of JSON lines; the file, how many, its SHA-256.

    Where there is no such event there is no file.
    """
    import orjson

    from soc import config
    from soc.detect.predicate import Op, Test
    from soc.store import open_store
    from soc.timing import parse_duration

    where = Test(field, Op.EQUALS, value)
    first = os.environ.get("SOC_FIRST_EVENT")
    since = (moment(first) if first else datetime.now(UTC)) - parse_duration(before)
    step = os.environ.get("SOC_STEP", "events")
    path = Path.cwd() / f"{re.sub(r'[^A-Za-z0-9_-]', '_', step)}.jsonl"
    digest, count = hashlib.sha256(), 0
    with (
        open_store(config.load().store, create=False) as store,
        path.with_suffix(".part").open("wb") as file,
    ):
        for stored in store.search(where, since=since, limit=limit):
            line = orjson.dumps({"_id": stored.id, **stored.event}) + b"\n"
            digest.update(line)
            file.write(line)
            count += 1
        file.flush()
        os.fsync(file.fileno())
    if count:
        path.with_suffix(".part").replace(path)
    else:
        path.with_suffix(".part").unlink()
    return path, count, digest.hexdigest()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soc-action", description="Simple, safe actions for playbooks")
    verbs = parser.add_subparsers(dest="verb", required=True)
    lists = verbs.add_parser("list", help="put a value on a plain list, or take it off")
    lists.add_argument("change", choices=["add", "remove"])
    lists.add_argument("name")
    lists.add_argument("value")
    lists.add_argument("--note", default="")
    ticket = verbs.add_parser("ticket", help="write a ticket, or withdraw it")
    ticket.add_argument("change", choices=["open", "withdraw"])
    ticket.add_argument("title", help="its title; to withdraw it, RUN-STEP")
    ticket.add_argument("--for", dest="team", default="")
    ticket.add_argument("--due", default="")
    evidence = verbs.add_parser("evidence", help="copy events out of the store")
    evidence.add_argument("field")
    evidence.add_argument("value")
    evidence.add_argument("--before", default="24h", help="how long before the alert's first event")
    evidence.add_argument("--limit", type=int, default=100_000)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one action; the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.verb == "list":
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", given.name):
            parser.error("the name of a list may hold a-z, 0-9 and - only")
        if not given.value.strip() or re.search(r"[\x00-\x1f\x7f]", given.value):
            parser.error("a value is one line of text")
    try:
        return _act(given)
    except (SocError, OSError) as error:
        sys.stderr.write(f"soc-action: {error}\n")
        return 1


def _act(given: argparse.Namespace) -> int:
    if given.verb == "list":
        changed = change_list(given.name, given.value, add=given.change == "add", note=given.note)
        what = ("added to" if given.change == "add" else "removed from") if changed else "as it was on"
        sys.stdout.write(f"{given.value} {what} {state() / 'lists' / given.name}.txt\n")
        return 0 if changed else ALREADY
    if given.verb == "ticket" and given.change == "withdraw":
        changed = withdraw_ticket(given.title)
        sys.stdout.write(f"{given.title} {'is' if changed else 'was'} withdrawn\n")
        return 0 if changed else ALREADY
    if given.verb == "ticket":
        body = "" if sys.stdin.isatty() else sys.stdin.read()
        path, new = open_ticket(given.title, given.team, given.due, body)
        sys.stdout.write(f"{path}\n")
        return 0 if new else ALREADY
    path, count, digest = copy_evidence(given.field, given.value, given.before, given.limit)
    if not count:
        sys.stdout.write(f"no event has {given.field} {given.value}: there is no evidence to keep\n")
        return NOTHING
    sys.stdout.write(f"{count} events in {path}, SHA-256 {digest}\n")
    return 0


def program() -> None:
    """The program `soc-action`."""
    sys.exit(main())


if __name__ == "__main__":
    program()
