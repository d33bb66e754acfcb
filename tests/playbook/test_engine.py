"""The engine over a real store and real processes: journal before and after, answers, conflicts, crashes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from soc.errors import ConflictError, SocError, StoreUnavailableError, UsageError
from soc.playbook import journal
from soc.playbook.answers import turn_of
from soc.playbook.model import Command
from soc.playbook.state import Phase, Reason, Run, from_body, to_body
from soc.playbook.world import RealWorld
from soc.respond import audit
from soc.store.contract import Write
from tests.playbook.conftest import Scene, ending, web_event

VARIABLES = """\
ip: {type: ip, from: event.source.ip}
n: {type: integer}
ips: {type: ip, list: true}
text: {type: string, default: none}
"""
QUESTION = "ask: {type: decision, ask: 'Is it ours?', choices: {'yes': good, 'no': bad}}"


def command(code: str, more: str = "read_only: true, on_failure: bad", *args: str) -> str:
    """A step `act` that runs some Python."""
    argv = [sys.executable, "-c", code, *args]
    listed = ", ".join("'" + a.replace("'", "''") + "'" for a in argv)
    return f"act: {{type: command, run: [{listed}], dry_run: would act, next: good, {more}}}"


def test_query_counts_and_values(scene: Scene) -> None:
    """A query counts the events of the store around the alert and takes their distinct values."""
    scene.store.append(
        [web_event(9, **{"source.ip": "198.51.100.1", "@timestamp": "2026-01-01T00:00:00.000000Z"})]
    )
    step = (
        "look: {type: query, query: 'url.path:\"/upload/anh.php\"', since: 1h, count: n, "
        "values: {ips: source.ip}, next: many}"
    )
    decide = "many: {type: decision, when: 'n:5 and ips:203.0.113.66', then: good, else: bad}"
    engine = scene.engine(ending(step, decide, variables=VARIABLES))
    run = engine.advance(scene.begin(engine))
    assert (run.outcome, run.variables["n"], run.variables["ips"]) == ("good", 5, ["203.0.113.66"])
    assert [e["event"] for e in run.journal] == ["started", "intent", "result", "result", "ended"]


def test_a_query_stops_at_its_limit(scene: Scene) -> None:
    """A count never goes above the limit, and the journal says that there may be more."""
    step = "look: {type: query, query: 'source.ip:*', limit: 3, count: n, next: good}"
    engine = scene.engine(ending(step, QUESTION, variables=VARIABLES), ask="yes")
    run = engine.advance(scene.begin(engine))
    assert run.variables["n"] == 3
    assert run.journal[2]["more"] is True


def test_values_that_do_not_fit_are_left_out(scene: Scene) -> None:
    """A hostile value in an event does not become a value of a variable; the journal says so."""
    scene.store.append([web_event(7, **{"user.name": ["an", "$(reboot)", "-rf"]})])
    step = "look: {type: query, query: 'user.name:*', values: {who: user.name}, next: good}"
    engine = scene.engine(ending(step, QUESTION, variables=VARIABLES + "who: {type: user, list: true}"))
    run = engine.advance(scene.begin(engine))
    assert run.variables["who"] == ["an"]
    assert len(run.journal[2]["remarks"]) == 2


def test_command_output_and_exit_codes(scene: Scene) -> None:
    """What a command printed and its exit code become variables; an exit code may mean success."""
    more = "read_only: true, output: text, exit_code: n, on_failure: bad, exit_codes: {7: 'done: so already'}"
    engine = scene.engine(
        ending(command("print('it is', 5); raise SystemExit(7)", more), variables=VARIABLES)
    )
    run = engine.advance(scene.begin(engine))
    assert (run.outcome, run.variables["text"], run.variables["n"]) == ("good", "it is 5", 7)
    assert run.journal[-2]["detail"] == "so already"


@pytest.mark.parametrize(
    ("code", "more", "detail"),
    [
        ("raise SystemExit(4)", "", "exit 4"),
        ("import time; time.sleep(30)", ", timeout: 1", "after 1 s"),
        ("import os; os.kill(os.getpid(), 9)", "", "signal 9"),
        ("print('many words')", ", output: n", "not a whole number"),
        ("print()", ", output: text", "empty"),
        ("pass", ", env: [NO_SUCH_VARIABLE]", "NO_SUCH_VARIABLE"),
    ],
)
def test_command_fails(scene: Scene, code: str, more: str, detail: str) -> None:
    """A command that fails in any way goes its on_failure way, and the journal says why."""
    engine = scene.engine(
        ending(command(code, "read_only: true, on_failure: bad" + more), variables=VARIABLES)
    )
    run = engine.advance(scene.begin(engine))
    assert run.outcome == "bad"
    assert detail in run.journal[-2]["detail"]


def test_missing_program(scene: Scene) -> None:
    """A program that is not there fails its step, and without on_failure a person is asked."""
    step = "act: {type: command, run: [no-such-tool, x], dry_run: w, read_only: true, next: good}"
    playbook = ending(step, QUESTION)
    engine = scene.engine(playbook)
    run = engine.advance(scene.begin(engine))
    assert (run.phase, run.reason) == (Phase.WAITING, Reason.FAILED)
    turn = turn_of(playbook, run)
    assert turn is not None
    assert "no-such-tool: No such file" in turn.text
    assert [c.split()[-1] for c in turn.commands] == ["done", "failed", "again"]
    again = engine.advance(engine.answer(run, "act", "again"))
    assert again.attempt == 2
    assert engine.advance(engine.answer(again, "act", "done")).outcome == "good"


def test_giving_up(scene: Scene) -> None:
    """A failed step that is given up ends the run as failed."""
    step = "act: {type: command, run: [no-such-tool], dry_run: w, read_only: true, next: good}"
    engine = scene.engine(ending(step, QUESTION))
    run = engine.advance(scene.begin(engine))
    assert engine.answer(run, "act", "failed").outcome == "failed"


def test_hostile_value_in_a_command(scene: Scene) -> None:
    """A value that begins with a dash never reaches the program; the step fails and says why."""
    engine = scene.engine(ending(command("print('ran')", args_more(), "{{ text }}"), variables=VARIABLES))
    run = engine.advance(scene.begin(engine, text="--delete-everything"))
    assert run.outcome == "bad"
    assert "option" in run.journal[-2]["detail"]
    assert not any(entry["event"] == "intent" for entry in run.journal)


def args_more() -> str:
    """The keys of a harmless command that needs `text`."""
    return "read_only: true, on_failure: bad"


def test_shell_signs_are_text(scene: Scene) -> None:
    """What a shell would obey arrives as one argument, as it is."""
    hostile = "a; touch pwned $(touch pwned) `touch pwned` | > pwned"
    code = "import sys; print(len(sys.argv), sys.argv[1])"
    engine = scene.engine(
        ending(
            command(code, "read_only: true, output: text, on_failure: bad", "{{ text }}"), variables=VARIABLES
        )
    )
    run = engine.advance(scene.begin(engine, text=hostile))
    assert run.variables["text"] == f"2 {hostile}"
    assert not list(scene.folder.rglob("pwned"))


def test_secrets_stay_out_of_the_journal(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the environment reaches the command; its value is nowhere in the store."""
    monkeypatch.setenv("GATE_TOKEN", "s3cr3t-t0ken")
    code = "import os; t = os.environ['GATE_TOKEN']; print(len(t), t)"
    engine = scene.engine(ending(command(code, "read_only: true, env: [GATE_TOKEN], on_failure: bad")))
    run = engine.advance(scene.begin(engine))
    assert run.journal[-2]["stdout"] == "12 ***\n"
    stored = scene.store.read("run", run.id)
    assert stored is not None
    assert "s3cr3t" not in repr(stored.body)


def test_irreversible_commands_ask(scene: Scene) -> None:
    """What cannot be undone is not run before somebody says yes; no leads to the on_failure way."""
    playbook = ending(command("open('ran', 'w')", "on_failure: bad"))
    engine = scene.engine(playbook)
    run = engine.advance(scene.begin(engine))
    assert (run.phase, run.reason) == (Phase.WAITING, Reason.CONFIRM)
    turn = turn_of(playbook, run)
    assert turn is not None
    assert turn.dangerous
    act = playbook.steps["act"]
    assert isinstance(act, Command)
    assert shlex.join(act.run) in turn.text
    assert not list(scene.folder.rglob("ran"))
    assert engine.advance(engine.answer(run, "act", "no")).outcome == "bad"
    second = engine.advance(scene.begin(engine))
    assert engine.advance(engine.answer(second, "act", "yes")).outcome == "good"
    assert len(list(scene.folder.rglob("ran"))) == 1
    third = scene.engine(playbook, approve=True)
    assert third.advance(scene.begin(third)).outcome == "good"


def test_what_can_be_undone_asks_too(scene: Scene) -> None:
    """A command that changes something waits for a yes, also where it can be undone; a file may hold it."""
    act = (
        "act: {type: command, run: [soc-action, list, add, cut, '{{ host }}'], dry_run: w, reversible: true, "
        "undo: [soc-action, list, remove, cut, '{{ host }}'], next: good, on_failure: bad}"
    )
    playbook = ending(act, variables="host: {type: host, required: true}")
    engine = scene.engine(playbook)
    run = engine.advance(scene.begin(engine, host="portal-01"))
    turn = turn_of(playbook, run)
    assert turn is not None
    assert turn.reason is Reason.CONFIRM
    assert "soc-action list add cut portal-01" in turn.text
    assert "to undo: soc-action list remove cut portal-01" in turn.text
    assert "CAREFUL" not in turn.text
    assert turn.leads == {"yes": "the command is run", "no": "the end: bad"}
    assert not (scene.folder / "state" / "lists").exists()
    prepared = scene.engine(playbook, act="yes")
    assert prepared.advance(scene.begin(prepared, host="portal-01")).outcome == "good"


def test_a_host_that_nobody_knows(scene: Scene) -> None:
    """Before a command acts on a host that neither the register nor an event names, that is said."""
    act = "act: {type: command, run: [touch, '{{ host }}'], dry_run: w, next: good, on_failure: bad}"
    playbook = ending(act, variables="host: {type: host, required: true}")
    engine = scene.engine(playbook)
    run = engine.advance(scene.begin(engine, host="portal-o1"))
    turn = turn_of(playbook, run)
    assert turn is not None
    assert "CAREFUL: portal-o1 is neither in the register nor in any event" in turn.text
    engine.approve = True
    assert engine.advance(run).phase is Phase.WAITING, (
        "an agreement to all does not hold where there is doubt"
    )
    register = scene.folder / "register.yml"
    register.write_text("systems:\n  - {name: s}\nassets:\n  - {hosts: [portal-o1], system: s}\n")
    engine.world = RealWorld(scene.store, replace(scene.config, register=register))
    assert engine.world.doubts(playbook, run, playbook.steps["act"]) == []  # type: ignore[arg-type] # a command


def test_manual_steps_take_typed_answers(scene: Scene) -> None:
    """Values that a person gives are checked like any other; a wrong one changes nothing."""
    step = (
        "tell: {type: manual, instruction: x, answers: {ip: address, n: number}, next: good, on_failure: bad}"
    )
    engine = scene.engine(ending(step, variables=VARIABLES))
    run = engine.advance(scene.begin(engine))
    wrongs: list[object] = [
        {"ip": "x", "n": 1},
        {"ip": "192.0.2.1"},
        {"ip": "192.0.2.1", "n": 1, "z": 2},
        "done",
        None,
        [],
    ]
    for wrong in wrongs:
        with pytest.raises(UsageError, match="tell"):
            engine.answer(run, "tell", wrong)
    done = engine.advance(engine.answer(run, "tell", {"ip": "192.0.2.1", "n": "5"}, note="by phone"))
    assert (done.variables["ip"], done.variables["n"], done.outcome) == ("192.0.2.1", 5, "good")
    answered = done.last_answer("tell")
    assert answered is not None
    assert answered["note"] == "by phone"


def test_prepared_answers(scene: Scene) -> None:
    """Answers of a file are given when their step comes, in any order of the file."""
    step = "tell: {type: manual, instruction: x, next: ask}"
    engine = scene.engine(ending(step, QUESTION, variables=VARIABLES), ask="yes", tell="done")
    run = engine.advance(scene.begin(engine))
    assert run.outcome == "good"
    assert [e["prepared"] for e in run.journal if e["event"] == "answer"] == [True, True]


def test_switch(scene: Scene) -> None:
    """A switch follows the value of a variable, else its default."""
    step = "way: {type: decision, switch: text, cases: {a: good}, default: bad}"
    playbook = ending(step, variables=VARIABLES)
    for value, outcome in (("a", "good"), ("b", "bad")):
        engine = scene.engine(playbook)
        assert engine.advance(scene.begin(engine, text=value)).outcome == outcome


def test_two_people_answer(scene: Scene) -> None:
    """Of two answers at the same time one is taken; the other learns whose, and loses nothing typed."""
    playbook = ending(QUESTION, variables=VARIABLES)
    mine, theirs = scene.engine(playbook), scene.engine(playbook)
    run = mine.advance(scene.begin(mine))
    theirs.answer(run, "ask", "no")
    with pytest.raises(ConflictError) as caught:
        mine.answer(run, "ask", "yes")
    assert "'no'" in caught.value.theirs
    assert caught.value.mine == "yes"
    with pytest.raises(ConflictError) as later:
        mine.answer(journal.get(scene.store, run.id), "ask", "yes")
    assert "'no'" in later.value.theirs
    assert journal.get(scene.store, run.id).step == "bad"


def test_two_runners(scene: Scene) -> None:
    """Two that carry one run forward at the same time: the command runs once."""
    playbook = ending(command("open(f'{__import__(\"uuid\").uuid4()}.ran', 'w')"))
    first, second = scene.engine(playbook), scene.engine(playbook)
    run = scene.begin(first)
    assert first.advance(run).outcome == "good"
    with pytest.raises(ConflictError, match="somebody else"):
        second.advance(run)
    assert len(list(scene.folder.rglob("*.ran"))) == 1


def test_answers_at_the_wrong_place(scene: Scene) -> None:
    """An answer to a step that does not wait, or is not there, changes nothing and says where the run is."""
    engine = scene.engine(
        ending("tell: {type: manual, instruction: x, next: ask}", QUESTION, variables=VARIABLES)
    )
    run = engine.advance(scene.begin(engine))
    with pytest.raises(UsageError, match="stands at tell"):
        engine.answer(run, "ask", "yes")
    with pytest.raises(UsageError, match="no step"):
        engine.answer(run, "nope", "yes")


def test_journal_is_audited(scene: Scene) -> None:
    """Every change of a run is in the audit chain, and the chain verifies."""
    engine = scene.engine(ending(command("pass"), QUESTION, variables=VARIABLES))
    run = engine.advance(scene.begin(engine))
    entries = list(audit.entries(scene.store, subject=run.id))
    assert [e.action for e in entries] == ["run.start", "run.intent", "run.result", "run.end"]
    assert audit.verify(scene.store).ok


def test_round_trip(scene: Scene) -> None:
    """A run comes out of its document as it went in."""
    engine = scene.engine(ending(QUESTION, variables=VARIABLES))
    run = engine.advance(scene.begin(engine))
    assert from_body(run.id, to_body(run), run.version) == run
    assert journal.get(scene.store, run.id[:4]) == run
    assert journal.of_subject(scene.store, scene.alert, "t") == [run]


def test_the_text_of_the_start_counts(scene: Scene) -> None:
    """A run follows the playbook as it was when it began; the file may change or vanish meanwhile."""
    from soc.playbook.runs import playbook_of

    engine = scene.engine(ending(QUESTION, variables=VARIABLES))
    run = engine.advance(scene.begin(engine))
    kept = playbook_of(journal.get(scene.store, run.id))
    assert kept.version == engine.playbook.version == run.playbook_version
    assert scene.engine(kept).advance(scene.engine(kept).answer(run, "ask", "yes")).outcome == "good"


# crashes

RUNNER = """
import sys
from pathlib import Path
from soc.config import Config, StoreSettings
from soc.playbook import journal
from soc.playbook.engine import Engine
from soc.playbook.runs import playbook_of
from soc.playbook.world import RealWorld
from soc.store.embedded import EmbeddedStore
folder, run_id = Path(sys.argv[1]), sys.argv[2]
settings = StoreSettings(str(folder / "store"))
store = EmbeddedStore.open(settings)
run = journal.get(store, run_id)
config = Config(None, settings, state=folder / "state")
Engine(playbook_of(run), journal.StoreJournal(store), RealWorld(store, config)).advance(run)
"""


def killed_in_command(scene: Scene, run_id: str) -> None:
    """Carry a run in another process and kill that with SIGKILL once the command has begun."""
    process = subprocess.Popen([sys.executable, "-c", RUNNER, str(scene.folder), run_id])
    began = scene.folder / "state" / "runs" / run_id / "began"
    deadline = time.monotonic() + 30
    while not began.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


SLOW = textwrap.dedent(
    """\
    import os, pathlib, time
    with open('ran', 'a') as f: f.write('x')
    pathlib.Path('began').touch()
    while not os.path.exists('go'): time.sleep(0.02)
    """
).replace("\n", "\\n")


def slow_command() -> str:
    """A step that counts its runs, says that it began, and ends when it may."""
    return (
        f'act: {{type: command, run: ["{sys.executable}", "-c", "{SLOW}"], dry_run: w, read_only: true, '
        "idempotent: true, next: ask, on_failure: bad}"
    )


def test_killed_in_the_middle_of_a_command(scene: Scene) -> None:
    """After SIGKILL nothing is run again silently: the run asks, refuses while the command still runs, and
    goes on at the right step."""
    playbook = ending(slow_command(), QUESTION, variables=VARIABLES)
    engine = scene.engine(playbook)
    run = scene.begin(engine)
    killed_in_command(scene, run.id)
    folder = scene.folder / "state" / "runs" / run.id

    left = journal.get(scene.store, run.id)
    assert left.phase is Phase.ACTING
    assert left.journal[-1]["event"] == "intent"
    with pytest.raises(ConflictError, match="still runs on this machine"):
        engine.advance(left)
    with pytest.raises(ConflictError, match="being carried out"):
        engine.answer(left, "act", "again")

    (folder / "go").touch()
    for _ in range(200):
        if not engine.world.busy(left, playbook.steps["act"]):
            break
        time.sleep(0.02)
    asked = engine.advance(left)
    assert (asked.phase, asked.reason) == (Phase.WAITING, Reason.UNKNOWN)
    turn = turn_of(playbook, asked)
    assert turn is not None
    assert turn.commands == tuple(
        f"soc run answer {run.id} act {word}" for word in ("done", "failed", "again")
    )
    assert "harmless" in turn.text
    assert (folder / "ran").read_text() == "x"

    after = engine.advance(engine.answer(asked, "act", "done"))
    assert (after.step, after.reason) == ("ask", Reason.QUESTION)
    assert (folder / "ran").read_text() == "x"


def test_again_runs_again(scene: Scene) -> None:
    """Answering `again` to an unknown outcome runs the command a second time, and only then."""
    playbook = ending(slow_command(), QUESTION, variables=VARIABLES)
    engine = scene.engine(playbook)
    run = scene.begin(engine)
    killed_in_command(scene, run.id)
    folder = scene.folder / "state" / "runs" / run.id
    (folder / "go").touch()
    time.sleep(0.3)
    run = engine.answer(journal.get(scene.store, run.id), "act", "again")
    run = engine.advance(run)
    assert run.step == "ask"
    assert (folder / "ran").read_text() == "xx"


@pytest.mark.parametrize("moment", ["intent", "result"])
def test_stopped_around_a_query(scene: Scene, moment: str) -> None:
    """A search changes nothing: stopped before or after its result, the run goes on without asking."""
    step = "look: {type: query, query: 'source.ip:*', count: n, next: good}"
    engine = scene.engine(ending(step, QUESTION, variables=VARIABLES))
    run = scene.begin(engine)

    class StoppedError(Exception):
        """Stands for the end of the process."""

    def stop(now: Run) -> None:
        if now.journal[-1]["event"] == moment:
            raise StoppedError

    engine.watch = stop
    with pytest.raises(StoppedError):
        engine.advance(run)
    after = scene.engine(engine.playbook)
    done = after.advance(replace(journal.get(scene.store, run.id), worker={}))
    assert (done.outcome, done.variables["n"]) == ("good", 5)


def test_another_machine_may_still_be_at_work(scene: Scene) -> None:
    """A step begun on another machine is left alone until its time is over."""
    playbook = ending(command("pass", "read_only: true, timeout: 1, on_failure: bad"))
    engine = scene.engine(playbook)
    run = scene.begin(engine)
    acting = replace(
        run.with_entry("intent", engine.world.now(), "huong"),
        phase=Phase.ACTING,
        worker={"host": "another", "pid": 1, "born": "x"},
    )
    acting = journal.StoreJournal(scene.store).save(acting, "run.intent")
    with pytest.raises(ConflictError, match="on another"):
        engine.advance(acting)


def test_interrupted(scene: Scene) -> None:
    """Ctrl-C in a command ends it and leaves an outcome that is asked about."""
    playbook = ending(slow_command(), QUESTION, variables=VARIABLES)
    engine = scene.engine(playbook)
    run = scene.begin(engine)
    folder = scene.folder / "state" / "runs" / run.id
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(scene.folder), run.id], stderr=subprocess.DEVNULL
    )
    while not (folder / "began").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    left = journal.get(scene.store, run.id)
    assert (left.phase, left.reason) == (Phase.WAITING, Reason.UNKNOWN)
    assert engine.world.busy(left, playbook.steps["act"]) == ""


def test_the_store_is_gone_when_the_command_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the result cannot be written, the person hears how the command ended and what to type later."""
    playbook = ending(command("pass"))
    engine = scene.engine(playbook)
    run = scene.begin(engine)
    real = scene.store.write

    def fail(writes: Sequence[Write]) -> object:
        body = writes[0].body
        if body and body["journal"][-1]["event"] == "result":
            raise StoreUnavailableError("the store is away")
        return real(writes)

    monkeypatch.setattr(scene.store, "write", fail)
    with pytest.raises(SocError, match="could not be written: the store is away") as caught:
        engine.advance(run)
    assert "is done (exit 0)" in caught.value.message
    assert f"soc run answer {run.id} act done" in caught.value.hint
    monkeypatch.undo()
    left = journal.get(scene.store, run.id)
    assert engine.advance(engine.answer(left, "act", "done")).outcome == "good"


def test_disk_is_full_for_the_journal(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the intent cannot be written, the command is not run."""
    playbook = ending(command("open('ran', 'w')"))
    engine = scene.engine(playbook)
    run = scene.begin(engine)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(scene.store, "write", fail)
    with pytest.raises(OSError, match="space"):
        engine.advance(run)
    assert not list(Path(scene.folder).rglob("ran"))
