"""Where commands write: results to standard output, everything said about them to standard error."""

import json
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

# On a pipe there is no width to fit into.
STDOUT = Console(width=None if sys.stdout.isatty() else 200)
STDERR = Console(stderr=True)


def print_plain(text: str, *, end: str = "\n") -> None:
    """A result as it is: no colours, no markup, no wrapping."""
    STDOUT.print(text, end=end, markup=False, highlight=False, soft_wrap=True)


def say(text: str, *, style: str = "") -> None:
    """A remark for the person. Plain text: what looks like markup in a path or a message is shown as it is."""
    STDERR.print(Text(text, style=style), soft_wrap=True)


def say_error(line: str, hint: str) -> None:
    STDERR.print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)
    if hint:
        STDERR.print(Text.assemble(("hint:  ", "bold"), hint), soft_wrap=True)


def print_json(value: object) -> None:
    """Plain on a pipe, coloured on a terminal."""
    if STDOUT.is_terminal:
        STDOUT.print_json(json.dumps(value))
    else:
        print_plain(json.dumps(value, indent=2, ensure_ascii=False))


def make_table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
