"""Which texts are one e-mail address that a server can be given, and the form it is given in. Pure."""

import re
from typing import Final

# RFC 5321 4.1.2 without quoted local parts and address literals: nobody has one, and they are how headers are injected.
_LOCAL: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_NAMED: Final = re.compile(r'(?:"[^"\\]*"|[^<>@,;:"()\[\]\\]*?)\s*<([^<>]*)>')
_MOST_LOCAL: Final = 64
_MOST_ALL: Final = 254


def to_mailbox(text: str) -> str | None:
    """The address as SMTP takes it, an international domain in its ASCII form; None where it isn't exactly one address."""
    local, at, domain = text.rpartition("@")
    try:
        ascii_domain = domain.encode("idna").decode("ascii") if domain and not domain.isascii() else domain
    except UnicodeError:
        return None
    if not at or len(local) > _MOST_LOCAL or len(local) + 1 + len(ascii_domain) > _MOST_ALL:
        return None
    return f"{local}@{ascii_domain}" if _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(ascii_domain) else None


def is_sender(text: str) -> bool:
    """Whether it may stand in a From header: `Shop <news@shop.example>` or the address alone."""
    named = _NAMED.fullmatch(text)
    return text.isprintable() and to_mailbox(named[1] if named else text) is not None
