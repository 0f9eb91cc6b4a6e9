"""Edits by the API as touchpoints: the log is the only way in, for us as for everyone."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from libs.kit.times import parse_utc

SOURCE: Final = "profile-api"
COMMAND_SOURCES: Final = frozenset({SOURCE, "engagement"})
"""What speaks for the business: edits by API, and the messages that engagement sends."""
_MOMENT: Final = timedelta(milliseconds=1)


class Known(msgspec.Struct):
    """An identifier as the view shows it."""

    kind: str
    value: str
    fragment: UUID


class _Consent(msgspec.Struct):
    purpose: str
    at: str


class _Lead(msgspec.Struct):
    stage: str | None = None


class _View(msgspec.Struct):
    last_seen_at: str | None
    consent: list[_Consent] = []
    lead: _Lead = msgspec.field(default_factory=_Lead)


_known = msgspec.json.Decoder(list[Known])
_view = msgspec.json.Decoder(_View)


def choose_identifier(identifiers: bytes, founding: UUID, named: tuple[str, str] | None) -> Known | None:
    """Whose an edit is: the identifier it was addressed by, else the founding one, else the strongest that is live."""
    known = _known.decode(identifiers)
    if named is not None:
        return next((one for one in known if (one.kind, one.value) == named), None)
    return next((one for one in known if one.fragment == founding), known[0] if known else None)


def compute_edit_time(now: datetime, core: bytes) -> datetime:
    """A command has the last word: later than everything known of the customer, whose clock may run ahead of ours."""
    last = _view.decode(b"{%b}" % core).last_seen_at
    # An identifier that was split off without a touchpoint of its own hasn't been seen.
    return now if last is None else max(now, parse_utc(last) + _MOMENT)


def read_lead_stage(core: bytes) -> str | None:
    """The stage that the view shows."""
    return _view.decode(b"{%b}" % core).lead.stage


def compute_consent_time(now: datetime, core: bytes, purpose: str) -> datetime:
    """max(now, latest known word on the purpose + 1 ms): the newest word of a person wins, for whichever channel."""
    said = [parse_utc(entry.at) + _MOMENT for entry in _view.decode(b"{%b}" % core).consent if entry.purpose == purpose]
    return max([now, *said])
