"""`logs`, `mail`, `doctor`: looking at what the local platform wrote and at the machine it runs on."""

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import typer

from cli.errors import fail
from cli.homes import HOME_OPTION, resolve_home
from cli.output import STDOUT, make_table, print_plain, say

FOLLOW_PAUSE_S = 0.3


def register(app: typer.Typer) -> None:
    app.command("logs")(logs)
    app.command("mail")(mail)
    app.command("doctor")(doctor)


def logs(
    part: str = typer.Argument("", help="A service, kafka, postgres, redis, mail or demo; all where left out."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on as lines come."),
    lines: int = typer.Option(20, "--lines", "-n", min=0, help="How many of the last lines."),
    home: Path | None = HOME_OPTION,
) -> None:
    """The last lines of the logs."""
    folder = resolve_home(home) / "logs"
    files = sorted(folder.glob(f"{part or '*'}.log"))
    if not files:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log")))
        fail(
            f"No log of {part or 'anything'} in {folder}.", hint=f"There are: {known}." if known else "`rapport up` writes them."
        )
    width = max(len(file.stem) for file in files)
    for file in files:
        with file.open(errors="replace") as content:
            for line in deque(content, maxlen=lines):
                print_log_line(file, line, width)
    if follow:
        for file, line in follow_files(files):
            print_log_line(file, line, width)


def print_log_line(file: Path, line: str, width: int) -> None:
    print_plain(f"{file.stem:<{width}} {line.rstrip()}" if width else line.rstrip())


def follow_files(files: list[Path]) -> Iterator[tuple[Path, str]]:
    """New lines of all the files, for ever; a file that was begun anew is read from its beginning."""
    positions = {file: file.stat().st_size for file in files}
    while True:
        for file in files:
            size = file.stat().st_size if file.exists() else 0
            start = positions[file] if size >= positions[file] else 0
            if size > start:
                with file.open("rb") as content:
                    content.seek(start)
                    whole, _, _ = content.read(size - start).rpartition(b"\n")
                positions[file] = start + len(whole) + (1 if whole else 0)
                yield from ((file, line) for line in whole.decode(errors="replace").splitlines())
        time.sleep(FOLLOW_PAUSE_S)


def mail(
    number: int = typer.Argument(0, help="Show this message of the list; the newest is 1."),
    lines: int = typer.Option(20, "--lines", "-n", min=0, help="How many to list."),
    home: Path | None = HOME_OPTION,
) -> None:
    """The e-mail that the local platform sent: into a folder, to nobody."""
    from cli.mailbox import list_mail, read_mail

    folder = resolve_home(home) / "mail"
    if number:
        print_plain(read_mail(folder, number))
        return
    table = make_table("", "received", "to", "subject")
    messages = list_mail(folder, lines)
    for index, message in enumerate(messages, start=1):
        table.add_row(str(index), message.received, message.to, message.subject)
    STDOUT.print(table)
    if not messages:
        say(f"No mail in {folder}.")


def doctor(home: Path | None = HOME_OPTION) -> int:
    """What is missing on this machine, and how to get it. Exit code 1 when something necessary is."""
    from cli.doctor import examine

    findings = examine(resolve_home(home))
    table = make_table("", "what", "found", "how to get it")
    marks = {"ok": "[green]ok[/]", "missing": "[red]missing[/]", "optional": "[yellow]without[/]"}
    for finding in findings:
        table.add_row(marks[finding.state], finding.what, finding.found, finding.hint)
    STDOUT.print(table)
    return 1 if any(finding.state == "missing" for finding in findings) else 0
