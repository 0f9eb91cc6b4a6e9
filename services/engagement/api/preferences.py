"""The customer's own pages: one click out of a purpose (RFC 8058), and all their preferences. The link in a message is the key.

A GET changes nothing, because mail scanners follow links. What is chosen becomes a touchpoint, `Consent Changed`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from libs.consent import EVERY_CHANNEL, Status, decide, find_word
from libs.events.touchpoints import ConsentStatement
from libs.kit.db import Tx
from libs.kit.http import read_body
from libs.kit.times import parse_utc
from libs.messaging.errors import PublishFailed
from libs.subscriber.store import load_profiles
from services.engagement.api.deps import ApiDeps
from services.engagement.domain.choices import MOST_CHOICES, HourlyChoices, name_unsubscribe
from services.engagement.domain.links import read_token
from services.engagement.errors import LinkInvalid, PreferenceUnknown, TooManyChoices
from services.engagement.handlers import CHANNEL, consent_touchpoint
from services.engagement.ports import Claimed

WORDING_VERSION: Final = "preferences-1"
"""Of the page's words: what somebody agreed to who granted something there."""
_MOMENT: Final = timedelta(milliseconds=1)
_LONGEST_FORM: Final = 4096
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address is the key
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
}
_OTHER: Final[dict[Status, Status]] = {"granted": "denied", "denied": "granted"}


class _Known(msgspec.Struct):
    """Of a profile's snapshot what decides."""

    consent: list[dict[str, Any]] = []
    traits: dict[str, Any] = {}


class _Choice(NamedTuple):
    purpose: str
    channel: str
    status: Status


_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_known = msgspec.json.Decoder(_Known).decode


def add_preferences(router: APIRouter, deps: ApiDeps) -> None:
    made = HourlyChoices()

    @router.get("/u/{token}", tags=["preferences"], response_class=HTMLResponse)
    async def show_unsubscribe(token: str) -> HTMLResponse:
        """A page with one button: mail scanners follow links, so a GET changes nothing (RFC 8058)."""
        message, purpose = await _find_message(token, deps)
        return _render("unsubscribe.html", address=message.recipient, purpose=purpose, token=token)

    @router.post("/u/{token}", tags=["preferences"], response_class=HTMLResponse)
    async def unsubscribe(token: str) -> HTMLResponse:
        """One click (RFC 8058): consent for the message's purpose by e-mail is denied from now on.

        Repeated with no grant known in between it is the same click, and says nothing new.
        """
        message, purpose = await _find_message(token, deps)
        choice = _Choice(purpose, CHANNEL, "denied")
        await _say(message, None, choice, f"one-click unsubscribe of message {message.id}", None, deps)
        return _render("unsubscribed.html", address=message.recipient, purpose=purpose, token=token)

    @router.get("/preferences/{token}", tags=["preferences"], response_class=HTMLResponse)
    async def show_preferences(token: str) -> HTMLResponse:
        """What the customer agreed to, by purpose and channel, each with a button to change it."""
        message, purpose = await _find_message(token, deps)
        async with deps.database.connection() as tx:
            choices = _list_choices(await _load_known(tx, message), purpose, deps)
        return _render("preferences.html", address=message.recipient, choices=choices, saved=False)

    @router.post(
        "/preferences/{token}", tags=["preferences"], response_class=HTMLResponse, openapi_extra=_FORM, responses=_TOO_MANY
    )
    async def change_preference(token: str, request: Request) -> HTMLResponse:
        """Grant or deny one purpose on one channel of those the page shows; 422 `preference_unknown` for any other.

        429 `too_many_choices` after 20 by one message's link within an hour, with Retry-After.
        """
        message, purpose = await _find_message(token, deps)
        chosen = _read_choice(await read_body(request.scope, request.receive, _LONGEST_FORM))
        async with deps.database.connection() as tx:
            choices = _list_choices(await _load_known(tx, message), purpose, deps)
        if not any((one.purpose, one.channel) == (chosen.purpose, chosen.channel) for one in choices):
            raise PreferenceUnknown("The page shows no such purpose and channel.")
        if wait_s := made.admit(message.id, deps.engagement.clock.now()):
            detail = f"The link takes {MOST_CHOICES} choices an hour. Come again later."
            raise TooManyChoices(detail, headers={"Retry-After": str(wait_s)})
        wording = WORDING_VERSION if chosen.status == "granted" else None
        click = str(deps.engagement.new_id())  # each is a word of its own: people change their minds
        await _say(message, click, chosen, f"preference page of message {message.id}", wording, deps)
        # The word is on its way through the log; the page shows what it will say.
        shown = [chosen if (one.purpose, one.channel) == (chosen.purpose, chosen.channel) else one for one in choices]
        return _render("preferences.html", address=message.recipient, choices=shown, saved=True)


def _list_choices(known: _Known, purpose: str, deps: ApiDeps) -> Sequence[_Choice]:
    """What was ever said something about, and what the message was for; each as it holds."""
    pairs = {(entry["purpose"], entry["channel"]) for entry in known.consent} | {(purpose, CHANNEL)}
    defaults = deps.engagement.consent_defaults
    return [
        _Choice(one, channel, decide(known.consent, one, channel, known.traits, defaults).status)
        for one, channel in sorted(pairs)
    ]


def _read_choice(form: bytes) -> _Choice:
    given = dict(parse_qsl(form.decode("utf-8", "replace")))
    match given.get("status"):
        case "granted":
            status: Status = "granted"
        case "denied":
            status = "denied"
        case _:
            raise PreferenceUnknown("`status` is neither granted nor denied.")
    return _Choice(given.get("purpose", ""), given.get("channel", ""), status)


async def _say(message: Claimed, click: str | None, choice: _Choice, proof: str, wording: str | None, deps: ApiDeps) -> None:
    """`click` None: it is the one click out."""
    statement = ConsentStatement(choice.purpose, choice.channel, choice.status, wording, proof)
    async with deps.database.transaction() as tx:
        known = await _load_known(tx, message)
        now = deps.engagement.clock.now()
        at = _later_than_known(now, known, choice)
        click = click or name_unsubscribe(known.consent, choice.purpose, choice.channel, now)
        outgoing = [consent_touchpoint(message, click, statement, at, deps.engagement)]
        staged = await deps.outbox.stage(tx, outgoing)
    if staged is not None:
        # It is said and kept; while the broker is away the worker's sweep appends it later.
        with suppress(PublishFailed):
            await deps.outbox.publish(staged, outgoing)


async def _find_message(token: str, deps: ApiDeps) -> tuple[Claimed, str]:
    message_id = read_token(token, deps.identity_key)
    if message_id is not None:
        async with deps.database.connection() as tx:
            found = await deps.engagement.outreach.load_message(tx, message_id)
        if found is not None:
            return found
    raise LinkInvalid("This link is not one of ours, or what it belongs to is gone.")


async def _load_known(tx: Tx, message: Claimed) -> _Known:
    owner = await tx.fetchval("select profile_id from sub_fragments where fragment = $1", message.fragment)
    found = (await load_profiles(tx, [owner])).get(owner) if owner is not None else None
    return _Known() if found is None or found.snapshot is None else _known(found.snapshot)


def _later_than_known(now: datetime, known: _Known, choice: _Choice) -> datetime:
    """max(now, latest known word + 1 ms): the customer's click is the last word, whatever clocks said before."""
    if choice.channel == EVERY_CHANNEL:
        words: list[Mapping[str, Any]] = [entry for entry in known.consent if entry["purpose"] == choice.purpose]
    else:
        word = find_word(known.consent, choice.purpose, choice.channel)
        words = [] if word is None else [word]
    return max([now, *(parse_utc(word["at"]) + _MOMENT for word in words)])


def _render(page: str, **values: Any) -> HTMLResponse:
    return HTMLResponse(_TEMPLATES.get_template(page).render(other=_OTHER, **values), headers=_HEADERS)


_TOO_MANY: Final[dict[int | str, dict[str, Any]]] = {429: {"description": "`too_many_choices`"}}
_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["purpose", "channel", "status"],
                    "properties": {
                        "purpose": {"type": "string"},
                        "channel": {"type": "string"},
                        "status": {"enum": ["granted", "denied"]},
                    },
                },
                "example": {"purpose": "marketing", "channel": "email", "status": "denied"},
            }
        },
    }
}
