"""The local mailbox read back: what the SMTP sink stored."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from cli.errors import CliError

_NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MailSummary:
    received: str
    to: str
    subject: str


def mail_files(folder: Path) -> list[Path]:
    """Newest first: a file's name begins with the nanosecond of its arrival."""
    return sorted(folder.glob("[0-9]*.eml"), reverse=True)


def load(file: Path) -> EmailMessage:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    if not isinstance(message, EmailMessage):
        raise CliError(f"{file} isn't a mail message.")
    return message


def list_mail(folder: Path, limit: int) -> list[MailSummary]:
    summaries = []
    for file in mail_files(folder)[:limit]:
        message = load(file)
        received = datetime.fromtimestamp(int(file.name.partition("-")[0]) / _NANOS, UTC).astimezone()
        summaries.append(MailSummary(f"{received:%Y-%m-%d %H:%M:%S}", str(message["X-Envelope-To"]), str(message["Subject"])))
    return summaries


def read_mail(folder: Path, number: int) -> str:
    """Headers and readable body of the message with that number in the list."""
    files = mail_files(folder)
    if not 1 <= number <= len(files):
        raise CliError(f"There is no message {number}.", hint=f"There are {len(files)}.")
    message = load(files[number - 1])
    headers = "\n".join(f"{name}: {value}" for name, value in message.items())
    body = message.get_body(preferencelist=("plain", "html"))
    return f"{headers}\n\n{body.get_content() if body is not None else ''}"
