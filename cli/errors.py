"""How a command fails: one line that says what, one that says what to do, exit code 1, never a traceback."""

import os
import re
import sys
from collections.abc import Callable
from ssl import SSLError
from typing import NoReturn

import typer
from pydantic import ValidationError

from cli.output import say, say_error

DEBUG_VARIABLE = "RAPPORT_DEBUG"
ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")
EXIT_FAILED = 1
EXIT_USAGE = 2
NOT_MIGRATED = frozenset({"3F000", "42P01", "42703"})
"""SQLSTATE of a schema, a table, a column that isn't there."""
IS_IT_RUNNING = "Is the platform running? `rapport status` tells, `rapport up` starts it."
FOR_THE_WHOLE_STORY = f"Run it again with {DEBUG_VARIABLE}=1 for the whole story."
WITHOUT_BROKER = frozenset({"SourceUnavailable", "PublishFailed"})
SPEAKING_FOR_THEMSELVES = frozenset({"TopicsMissing", "ConfigurationRefused", "IdentityKeyInvalid"})
EXIT_INTERRUPTED = 130


class CliError(Exception):
    """`detail` is the line, `hint` the way out."""

    def __init__(self, detail: str, *, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


def explain(error: BaseException) -> tuple[str, str]:
    """The line and the hint for any error. Known ones carry their own words; no Python name is ever shown."""
    detail = getattr(error, "detail", None)
    if isinstance(detail, str):
        return detail, str(getattr(error, "hint", ""))
    text = ERROR_NUMBER.sub("", " ".join(str(error).split()))
    if said := explain_connection(error, text) or explain_given(error, text):
        return said
    return f"Something unexpected happened: {text or 'nothing more is known'}", FOR_THE_WHOLE_STORY


def explain_connection(error: BaseException, text: str) -> tuple[str, str] | None:
    """Something that should answer doesn't, or refuses. Told by name where a library that few commands load raises it."""
    kind = type(error).__name__
    if isinstance(error, ConnectionError | TimeoutError) or "connect" in kind.lower():
        return f"No connection: {text or 'no answer in time'}", IS_IT_RUNNING
    if kind in WITHOUT_BROKER:
        return text, IS_IT_RUNNING
    if kind in SPEAKING_FOR_THEMSELVES:
        return text, ""
    return describe_database_error(error, text) if type(error).__module__.startswith("asyncpg.") else None


def explain_given(error: BaseException, text: str) -> tuple[str, str] | None:
    """Something the person gave isn't what it should be."""
    if isinstance(error, ValidationError):
        return describe_invalid(error), "Check the variables in the environment."
    if isinstance(error, UnicodeError):
        return "What was given isn't UTF-8 text.", "Check the arguments, and the file if one was given."
    if isinstance(error, SSLError):
        return f"TLS: {text}", "Check the certificates that the settings name."
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return (
            "A file that the settings name isn't there.",
            "Certificates are named by RAPPORT_KAFKA_SSL_... and in RAPPORT_POSTGRES.",
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or text}.", "--home or RAPPORT_HOME name another folder."
    return None


def describe_invalid(error: ValidationError) -> str:
    """Each setting by the name it has in the environment, and what it should be."""
    prefix = "RAPPORT_" if error.title == "PlatformSettings" else ""
    wrong = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, one["loc"]))
        message = one["msg"].removeprefix("Value error, ")
        wrong.append(f"{prefix}{name.upper() if prefix else name}: {message}" if name else message)
    return " ".join("; ".join(wrong).split())


def describe_database_error(error: BaseException, text: str) -> tuple[str, str]:
    """A server's refusal carries an SQLSTATE; without one the driver couldn't even ask."""
    state = getattr(error, "sqlstate", None)
    if state in NOT_MIGRATED:
        return f"The database isn't prepared: {text}.", "`rapport migrate` prepares it."
    if state:
        return f"PostgreSQL refused: {text}.", "Check RAPPORT_POSTGRES."
    return f"RAPPORT_POSTGRES doesn't lead to a database: {text}.", "As in postgresql://user:password@host:5432/database."


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
