"""An SMTP server that keeps every message as a file and sends nothing on. Started by its path; imports nothing of this project.

A message is acknowledged only once its file is complete on disk, and a file's name sorts by time of arrival.
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

SIZE_LIMIT_BYTES = 10 * 1024 * 1024


class Mailbox:
    """The handler aiosmtpd calls."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802, ARG002 aiosmtpd's name and signature
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers):06d}.eml"
        recipients = ", ".join(envelope.rcpt_tos)
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        draft = self._folder / f".{name}"
        draft.write_bytes(f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {recipients}\r\n".encode() + content)
        draft.replace(self._folder / name)
        return "250 OK"


async def serve(host: str, port: int, folder: Path) -> None:
    mailbox = Mailbox(folder)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(
        lambda: SMTP(mailbox, hostname="localhost", data_size_limit=SIZE_LIMIT_BYTES, enable_SMTPUTF8=True, loop=loop), host, port
    )
    await stop.wait()
    server.close()


if __name__ == "__main__":
    target = Path(sys.argv[3])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), target))
