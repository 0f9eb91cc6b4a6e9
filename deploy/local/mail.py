"""The local stack's mailbox: an SMTP server that delivers to a folder and to nobody else."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.part import Part
from deploy.local.ports import HOST

_PROBE_TIMEOUT_S = 1.0


class MailSink(Part):
    """Messages land as `<home>/mail/*.eml`; `rapport mail` shows them."""

    name = "mail"
    title = "Mail sink"

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-P", str(Path(__file__).with_name("smtp_sink.py")), HOST, str(self.port), str(self.data)]

    def is_ready(self) -> bool:
        with socket.create_connection((HOST, self.port), timeout=_PROBE_TIMEOUT_S) as probe:
            return probe.recv(64).startswith(b"220")
