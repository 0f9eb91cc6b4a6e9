"""How a command fails: one line that says what, one that says what to do, exit code 1, never a traceback."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from cli.output import say, say_error

DEBUG_VARIABLE = "RAPPORT_DEBUG"
EXIT_FAILED = 1
EXIT_USAGE = 2
WITHOUT_BROKER = frozenset({"SourceUnavailable", "PublishFailed"})
EXIT_INTERRUPTED = 130


class CliError(Exception):
    """`detail` is the line, `hint` the way out."""

    def __init__(self, detail: str, *, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


def explain(error: BaseException) -> tuple[str, str]:
    """The line and the hint for any error. Known ones carry their own words; others are named for what they are."""
    detail = getattr(error, "detail", None)
    if isinstance(detail, str):
        return detail, str(getattr(error, "hint", ""))
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ConnectionError | TimeoutError) or "connect" in type(error).__name__.lower():
        return f"No connection: {text}", "Is the platform running? `rapport status` tells, `rapport up` starts it."
    if type(error).__name__ in WITHOUT_BROKER:
        return text, "Is the platform running? `rapport status` tells, `rapport up` starts it."
    if type(error).__name__ == "ValidationError":
        return f"A setting or an answer isn't what it should be: {text}", "Check the RAPPORT_* variables in the environment."
    return f"{type(error).__name__}: {text}", f"Run it again with {DEBUG_VARIABLE}=1 for the whole story."


def fail(detail: str, *, hint: str = "") -> NoReturn:
    raise CliError(detail, hint=hint)


def run_with_errors(command: Callable[[], object]) -> NoReturn:
    """Run the command line and turn whatever happens into an exit code."""
    try:
        result = command()
    except typer.Exit as finished:
        sys.exit(finished.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        say("Stopped.")
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader has seen enough (`rapport logs | head`): not an error, and nothing may be flushed into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except Exception as error:  # the program's edge: whatever it is, a person reads it
        if callable(words := getattr(error, "format_message", None)):
            # A misspelt command or option: Typer's own words. Its error classes have no public name.
            say_error(str(words()), "--help after a command lists what it takes.")
            sys.exit(EXIT_USAGE)
        if os.environ.get(DEBUG_VARIABLE):
            raise
        line, hint = explain(error)
        say_error(line, hint)
        sys.exit(EXIT_FAILED)
    sys.exit(result if isinstance(result, int) else 0)
