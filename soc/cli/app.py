"""The tree of commands: `soc NOUN VERB`, and a few verbs of the pipeline at the top.

A noun is the module `soc.cli.NOUN` with a Typer `app`; a top-level verb is the module `soc.cli.VERB` with
an `app` of one command. Nothing is imported before it is used: `soc --help` shows the table below.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from soc.cli.completion import words
from soc.cli.session import FORMATS, Session, begin, session
from soc.errors import ExitCode, UsageError

NOUNS: dict[str, str] = {
    "init": "Write a commented soc.yml to start from",
    "demo": "Show a day with an attack from logs to playbook, on this machine",
    "doctor": "Is it set up right? What to do about each thing that is not",
    "status": "Is it working now?",
    "parse": "Turn a log file into ECS events, one for each line",
    "scan": "Match Sigma rules against files, without a store",
    "search": "Look for events in the store",
    "config": "See and check the settings",
    "store": "Set up, look at and prune the store",
    "audit": "Read and verify the audit log",
    "register": "Systems, their levels and owners, and the assets that belong to them",
    "collector": "Collectors: what turns a source's log into ECS events",
    "collect": "Bring logs into the store",
    "deadletter": "Events that the store refused: see, repair, replay",
    "sweep": "Match the rules against new events and raise alerts",
    "rule": "Sigma rules: list, write, check, test",
    "exception": "Exceptions: what a rule is not to alert about, until when, and who says so",
    "indicator": "Indicators: what of layer 4 the events are matched with",
    "alert": "Triage alerts",
    "playbook": "Playbooks: list, write, check, test, run",
    "run": "Playbook runs: see, resume, answer",
}
"""Every noun and top-level verb, in the order of `soc --help`, with its line there."""

DEFAULT_VERBS = {"sweep": "run"}
"""Nouns that may stand without a verb: `soc sweep --once` is `soc sweep run --once`."""


def _common(
    output: Annotated[
        str,
        typer.Option(
            "--output",
            metavar="|".join(FORMATS),
            help="How to print results",
            autocompletion=words(*FORMATS),
        ),
    ] = "",
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="A,B", help="Only these fields; '' lists them")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Configuration file")
    ] = None,
    store: Annotated[str, typer.Option("--store", metavar="PATH|URL", help="The store to use")] = "",
    space: Annotated[
        str, typer.Option("--space", metavar="NAME", help="Space within the store, such as a drill's")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No remarks, only results")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, show_default=False, help="More remarks")
    ] = 0,
) -> None:
    """The options that stand everywhere; each command carries them (see `SocCommand`)."""


def _common_params() -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.command()(_common)
    params = typer.main.get_command(app).params
    for param in params:
        if getattr(param, "help", None) is not None:
            param.rich_help_panel = "Everywhere"  # type: ignore[attr-defined] # an option of Typer has it
    return [p for p in params if p.name != "help"]


_COMMON_NAMES = ("output", "fields", "config", "store", "space", "quiet", "verbose")


def _take(values: dict[str, Any], target: Session) -> None:
    """Move the common options out of a command's values and into the session."""
    given = {name: values.pop(name) for name in _COMMON_NAMES if name in values}
    if given.get("output"):
        if given["output"] not in FORMATS:
            raise UsageError(f"--output {given['output']!r}: one of {', '.join(FORMATS)} is expected")
        target.output = given["output"]
    if given.get("fields") is not None:
        target.fields = given["fields"]
    target.config_path = given.get("config") or target.config_path
    target.store_target = given.get("store") or target.store_target
    target.space = given.get("space") or target.space
    target.quiet = bool(given.get("quiet")) or target.quiet
    target.verbose = int(given.get("verbose") or 0) or target.verbose


def reflow(text: str) -> str:
    """A help text whose paragraphs are one line each, for the width of whoever reads them.

    Docstrings are wrapped for the code. A list (lines that begin with `- `) keeps its lines; what stands
    below `Examples:` is indented alike, one command to a paragraph.
    """
    out: list[str] = []
    examples = False
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = [line.strip() for line in paragraph.splitlines()]
        separator = "\n" if any(line.startswith("- ") for line in lines) else " "
        out.append(("  " if examples else "") + separator.join(lines))
        examples = examples or lines == ["Examples:"]
    return "\n\n".join(out)


class SocCommand(TyperCommand):
    """A command that also takes the common options, wherever they stand among its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = reflow(self.help or "")
        taken = {option for param in self.params for option in param.opts}
        self.params = [*self.params, *(p for p in _common_params() if not taken.intersection(p.opts))]

    def invoke(self, ctx: Any) -> Any:
        """Run the command with the common options taken into the session."""
        _take(ctx.params, session())
        return super().invoke(ctx)


class CommonGroup(TyperGroup):
    """A group that takes the common options too: `soc --store PATH alert list` works as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = reflow(self.help or "")
        self.params = [*self.params, *_common_params()]

    def invoke(self, ctx: Any) -> Any:
        """Go on to the verb with the common options taken into the session."""
        _take(ctx.params, session())
        return super().invoke(ctx)


class NounGroup(CommonGroup):
    """The verbs of a noun. `soc alerts` alone lists; a noun with a default verb may go without one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default verb in where none was given."""
        plural = ctx.info_name not in NOUNS and "list" in self.commands
        default = "list" if plural else DEFAULT_VERBS.get(str(ctx.info_name))
        bare = not args or (args[0].startswith("-") and not set(args).intersection(self.commands))
        if default and bare and args[:1] != ["--help"]:
            args = [default, *args]
        return super().parse_args(ctx, args)


class SocTyper(typer.Typer):
    """A Typer app whose commands take the common options."""

    def command(self, name: str | None = None, **kwargs: Any) -> Callable[[Any], Any]:
        """As `typer.Typer.command`."""
        kwargs.setdefault("cls", SocCommand)
        return super().command(name, **kwargs)


def noun(help: str) -> SocTyper:  # noqa: A002 - the word of Typer
    """The app of a noun; its verbs are added with `@app.command()`."""
    return SocTyper(
        help=help, cls=NounGroup, no_args_is_help=True, add_completion=False, rich_markup_mode="rich"
    )


def verb() -> SocTyper:
    """The app of a top-level verb; it has exactly one `@app.command()`."""
    return SocTyper(add_completion=False, rich_markup_mode="rich")


def singular(word: str) -> str:
    """The noun that a word means: `alerts` is `alert`, `registers` is `register`; else the word."""
    if word in NOUNS:
        return word
    return next((name for name in (word[:-1], word[:-2]) if word.endswith("s") and name in NOUNS), word)


class Root(CommonGroup):
    """The top of the tree: imports a noun's module only when it is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature of Typer
        """Every noun and top-level verb whose module is there."""
        return [*NOUNS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature of Typer
        """A stand-in that knows only its line of help, for the table of `soc --help`."""
        return TyperGroup(name=cmd_name, help=NOUNS[cmd_name]) if cmd_name in NOUNS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The real command for the first word, loaded now."""
        name = singular(args[0])
        if name not in NOUNS:
            self.commands = {known: self.get_command(ctx, known) for known in NOUNS}
            return super().resolve_command(ctx, args)
        command = load(name)
        command.name = args[0]
        return args[0], command, args[1:]


def load(name: str) -> Any:
    """The command of a noun or top-level verb; imports its module."""
    module = importlib.import_module(f"soc.cli.{name}")
    return typer.main.get_command(module.app)


root = typer.Typer(cls=Root, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False)


def _version(value: bool) -> None:
    if value:
        from soc import __version__

        sys.stdout.write(f"soc {__version__}\n")
        raise typer.Exit


@root.callback()
def _root(
    _version_flag: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave")
    ] = False,
) -> None:
    """A security operations centre in the terminal: collect, detect, triage, respond.

    Start with [bold]soc demo[/bold]. Each command explains itself with examples: soc alert close --help.

    Exit codes: 0 done, 1 failed, 2 usage or cancelled, 3 conflict, 4 not authorised, 5 partly done,
    8 waiting for a person.
    """


def _usage_error(error: Any) -> UsageError:
    """An error of Typer (unknown option, missing argument) as one of our own."""
    said = str(error.format_message()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "soc"
    return UsageError(said[:1].lower() + said[1:], hint=f"{path} --help")


def invoke(args: list[str] | None = None) -> int:
    """Run one command line (default: this process's) and give its exit code.

    Errors of the product (`SocError`), also of usage, are raised, to be reported by `soc.__main__`.
    """
    begin()
    try:
        result = root(args=args, standalone_mode=False, prog_name="soc")
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        sys.stderr.write("\ncancelled\n")
        return ExitCode.USAGE
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if not message():  # a noun alone, whose help was shown
            return ExitCode.USAGE
        raise _usage_error(error) from None
    finally:
        session().close()
    return result if isinstance(result, int) else ExitCode.DONE
