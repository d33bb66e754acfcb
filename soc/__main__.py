"""The program `soc`: the one place where errors become messages and exit codes."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

from soc.cli.text import safe
from soc.errors import ConflictError, ContentError, ExitCode, SocError

RESULTS = "standard output"
"""What an error calls the place where results go."""


def main() -> None:
    """Run the command line and leave with its exit code (see `soc.errors.ExitCode`)."""
    open_streams()
    sys.exit(run())


def run() -> int:
    """Run the command line; the exit code, after any message has gone to standard error."""
    from soc.cli.app import invoke

    try:
        code = invoke()
        sys.stdout.flush()
        return code
    except SocError as error:
        report(error)
        return error.exit_code
    except KeyboardInterrupt:
        tell("\ncancelled\n")
        return ExitCode.USAGE
    except BrokenPipeError:
        return reader_left()
    except SystemExit as leave:
        # so rich and Typer end when the reader of a pipe has gone
        if isinstance(leave.__context__, BrokenPipeError):
            return reader_left()
        raise
    except MemoryError:
        tell("error: out of memory\n")
        return ExitCode.FAILED
    except OSError as error:
        return system_error(error)
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence, not a trace
        return unexpected(error)


def open_streams() -> None:
    """Give this process all three standard streams, also where its caller closed some (`>&-`).

    Else the next file that is opened, such as the store's, would take the number of one of them, and whatever
    writes a message there would write into that file. Input is empty then, remarks go nowhere, and results
    fail as they do for other programs: a command that has none works.
    """
    modes = {0: os.O_RDONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}
    for number, mode in modes.items():
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
    results = io.BufferedWriter(Results(1, "w", closefd=False))
    # names of files may hold bytes that are no text; as \udcff they are still valid JSON
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    sys.stdout = io.TextIOWrapper(results, encoding, "backslashreplace", line_buffering=results.isatty())


class Results(io.FileIO):
    """Standard output; an error in writing to it says that it was it."""

    def write(self, data: Any, /) -> int:
        """As of `io.FileIO`."""
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            error.filename = RESULTS
            raise


def tell(text: str) -> None:
    """Write a message to standard error; when even that cannot be written, the exit code has to do."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def reader_left() -> int:
    """The reader of a pipe (`head`) has seen enough: say nothing, and keep Python from saying it at exit."""
    discard(sys.stdout)
    return ExitCode.DONE


def discard(stream: TextIO) -> None:
    """Let what is still to be written to a stream go nowhere, so that Python does not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def system_error(error: OSError) -> int:
    """Say what the operating system refused, and where: a file, or standard output itself."""
    hint = ""
    if error.filename == RESULTS:
        hint = "next: see where it leads: a full disk, or a stream that was closed\n"
        discard(sys.stdout)
    where = f"{safe(str(error.filename))}: " if error.filename else ""
    tell(f"error: {where}{error.strerror or safe(str(error))}\n{hint}")
    return ExitCode.FAILED


def unexpected(error: Exception) -> int:
    """Say that the program itself is at fault; the trace is shown with -v, for whoever mends it."""
    from soc.cli.session import session

    if session().verbose:
        import traceback

        tell(traceback.format_exc())
    kind = type(error).__name__
    tell(f"error: unexpected {kind}: {safe(str(error))}\nnext: run it again with -v and report it\n")
    return ExitCode.FAILED


def report(error: SocError) -> None:
    """Write an error for a person to standard error, with its place and the next step."""
    lines = []
    if isinstance(error, ContentError):
        lines += [safe(str(problem)) for problem in error.problems]
        count = len(error.problems)
        lines.append(f"error: {count} problem{'s' if count != 1 else ''}")
    else:
        lines.append(f"error: {safe(str(error))}")
    if isinstance(error, ConflictError):
        if error.theirs:
            lines.append(f"their change: {safe(error.theirs)}")
        if error.mine:
            lines.append(f"your text, not saved: {safe(error.mine)}")
    if error.hint:
        lines.append(f"next: {safe(error.hint)}")
    tell("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
