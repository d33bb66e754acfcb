"""The program `soc`: the one place where errors become messages and exit codes."""

from __future__ import annotations

import io
import os
import sys

from soc.errors import ConflictError, ContentError, ExitCode, SocError


def main() -> None:
    """Run the command line and leave with its exit code (see `soc.errors.ExitCode`)."""
    sys.exit(run())


def run() -> int:
    """Run the command line; the exit code, after any message has gone to standard error."""
    from soc.cli.app import invoke

    if isinstance(sys.stdout, io.TextIOWrapper):
        # names of files may hold bytes that are no text; as \udcff they are still valid JSON
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return invoke()
    except SocError as error:
        report(error)
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\ncancelled\n")
        return ExitCode.USAGE
    except BrokenPipeError:
        # the reader of a pipe (`head`) has seen enough; say nothing, and keep Python from saying it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except MemoryError:
        sys.stderr.write("error: out of memory\n")
        return ExitCode.FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {where}{error.strerror or error}\n")
        return ExitCode.FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence, not a trace
        return unexpected(error)


def unexpected(error: Exception) -> int:
    """Say that the program itself is at fault; the trace is shown with -v, for whoever mends it."""
    from soc.cli.session import session
    from soc.cli.text import safe

    if session().verbose:
        import traceback

        sys.stderr.write(traceback.format_exc())
    kind = type(error).__name__
    sys.stderr.write(f"error: unexpected {kind}: {safe(str(error))}\n")
    sys.stderr.write("next: run it again with -v and report it\n")
    return ExitCode.FAILED


def report(error: SocError) -> None:
    """Write an error for a person to standard error, with its place and the next step."""
    from soc.cli.text import safe

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
    sys.stderr.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
