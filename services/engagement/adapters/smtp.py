"""SMTP behind the Mailer port. Decides only how sure we are that a message went out."""

from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib
from aiosmtplib import errors

from libs.kit.clock import Clock
from services.engagement.domain.addresses import to_mailbox
from services.engagement.ports import Claimed, Delivered, Delivery, NotYet, Refused, Uncertain

_TRANSIENT = range(400, 500)


class SmtpMailer:
    """One connection a message: simple, and a broken connection never touches two messages."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        username: str | None,
        password: str | None,
        use_tls: bool,
        domain: str,
        timeout_s: float,
        clock: Clock,
    ) -> None:
        self._host, self._port, self._use_tls = host, port, use_tls
        self._username, self._password = username, password
        self._domain, self._timeout_s, self._clock = domain, timeout_s, clock

    def compose(self, message: Claimed, mailbox: str, *, unsubscribe_url: str) -> EmailMessage:
        """RFC 5322 message with one-click unsubscribe (RFC 8058)."""
        mail = EmailMessage()
        mail["From"] = message.sender
        mail["To"] = Address(addr_spec=mailbox)
        mail["Subject"] = message.subject
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = f"<{message.id}@{self._domain}>"
        mail["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail.set_content(message.text)
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
        return mail

    async def send(self, message: Claimed, *, unsubscribe_url: str) -> Delivery:
        """Everything before the body is handed over may be tried again; a lost answer after it may not."""
        mailbox = to_mailbox(message.recipient)
        if mailbox is None:
            return Refused("the recipient is no e-mail address")
        try:
            mail = self.compose(message, mailbox, unsubscribe_url=unsubscribe_url)
        except ValueError as error:  # a header that can't be written, such as a newline in an address
            return Refused(str(error))
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            timeout=self._timeout_s,
            use_tls=self._use_tls,
            username=self._username,
            password=self._password,
        )
        try:
            await client.connect()
        except (errors.SMTPException, OSError) as error:
            return NotYet(type(error).__name__)
        return await _hand_over(client, mail, mailbox)


async def _hand_over(client: aiosmtplib.SMTP, mail: EmailMessage, mailbox: str) -> Delivery:
    try:
        # To whom it goes is said here, never read from a header: a header may be parsed into more than was meant.
        await client.send_message(mail, recipients=[mailbox])
    except errors.SMTPRecipientsRefused as error:
        codes = [refusal.code for refusal in error.recipients]
        return NotYet("recipient deferred") if all(code in _TRANSIENT for code in codes) else Refused("recipient refused")
    except errors.SMTPResponseException as error:
        return NotYet(f"answer {error.code}") if error.code in _TRANSIENT else Refused(f"answer {error.code}")
    except (errors.SMTPException, OSError) as error:
        return Uncertain(type(error).__name__)
    except ValueError:  # a sender that can't be written: said by the client, before any command of this message
        return Refused("the sender is no e-mail address")
    finally:
        client.close()
    return Delivered()
