"""The page at `/`: a search box and the customer's card. Rendered here, no build step, nothing from another host.

Who may see it: whoever has an API key with `profiles:read`, given as the password of HTTP Basic; in a local installation also
a browser on the same machine, without any. The page changes nothing, so there is nothing to forge a request for.
"""

import base64
import binascii
import ipaddress
import secrets
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from libs.kit.auth import authorise
from libs.kit.errors import Forbidden, Unauthorized
from libs.orders.currencies import exponent_of, from_minor
from services.profile.api.deps import ApiDeps
from services.profile.api.searching import find_by_identifier
from services.profile.api.shapes import show_touchpoint
from services.profile.errors import ProfileNotFound
from services.profile.handlers.tell_profiles import render_stored
from services.profile.ports import StoredProfile
from services.profile.store.timeline import END_OF_TIME, LAST_ID, TimelineFilter, load_history, load_links, load_timeline
from services.profile.store.views import load_page

_SCOPE: Final = "profiles:read"
_SHOWN: Final = 25
_TEXT_MAX: Final = 160
_NOTHING: Final = "\N{EN DASH}"
_ASK: Final = {"WWW-Authenticate": 'Basic realm="Rapport: any name, an API key as password", charset="UTF-8"'}
_NAMES: Final = (("first_name", "last_name"), ("name",), ("email",))
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def build_page_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    templates = _build_templates()

    def render(name: str, **values: Any) -> Response:
        nonce = secrets.token_urlsafe(16)
        html = templates.get_template(name).render(nonce=nonce, **values)
        return HTMLResponse(html, headers=_build_headers(nonce))

    @router.get("/")
    async def show_page(request: Request, q: str = "", ref: str = "") -> Response:
        _check(request, deps)
        text = (ref or q).strip()
        if not text:
            async with deps.database.connection() as connection:
                some = await load_page(connection, UUID(int=0), _SHOWN)
            return render("search.html", q="", cards=[_build_card(profile) for profile in some])
        found = await find_by_identifier(deps, text)
        if len(found) != 1:
            return render("search.html", q=text, cards=[_build_card(profile) for profile in found])
        return render("card.html", q=q, card=_build_card(found[0]), **await _load_details(deps, found[0]))

    @router.get("/timeline")
    async def show_timeline(request: Request, ref: str) -> Response:
        """The card's live part."""
        _check(request, deps)
        profile = await deps.reader.find(ref)
        if profile is None:
            raise ProfileNotFound("Nobody is known by this reference.")
        return render("timeline.html", items=await _load_items(deps, profile))

    return router


def _check(request: Request, deps: ApiDeps) -> None:
    """Raises Unauthorized with the question that makes a browser ask for a key."""
    header = request.headers.get("authorization")
    if header is None and _is_local(request, deps.env):
        return
    try:
        authorise(deps.access, _to_bearer(header), _SCOPE)
    except (Unauthorized, Forbidden) as error:
        raise Unauthorized(error.detail, headers=_ASK) from error


def _to_bearer(header: str | None) -> str | None:
    kind, _, credentials = (header or "").partition(" ")
    if kind.lower() != "basic":
        return header
    try:
        return "Bearer " + base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_local(request: Request, env: str) -> bool:
    """A browser on this machine that asked for this machine by a local name, which a rebound DNS name can't be."""
    if env != "local" or request.client is None:
        return False
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    try:
        return ipaddress.ip_address(request.client.host).is_loopback and name in _LOCAL_NAMES
    except ValueError:
        return False


def _build_headers(nonce: str) -> dict[str, str]:
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",  # the address holds what was searched for
        "X-Content-Type-Options": "nosniff",
    }


def _build_card(profile: StoredProfile) -> dict[str, Any]:
    card: dict[str, Any] = msgspec.json.decode(render_stored(profile))
    card["title"] = _choose_title(card)
    card["orders"] = card["aggregates"]["orders"]["count"]
    return card


def _choose_title(card: dict[str, Any]) -> str:
    for names in _NAMES:
        words = [str(card["traits"][name]) for name in names if card["traits"].get(name)]
        if words:
            return " ".join(words)
    return f"{card['identifiers'][0]['kind']} {card['identifiers'][0]['value']}" if card["identifiers"] else str(card["id"])


async def _load_details(deps: ApiDeps, profile: StoredProfile) -> dict[str, Any]:
    identifiers = msgspec.json.decode(profile.identifiers)
    named = {UUID(one["fragment"]): f"{one['kind']} {one['value']}" for one in identifiers}
    async with deps.database.connection() as connection:
        links = await load_links(connection, list(named))
        merges = await load_history(connection, profile.id, ((1 << 63) - 1, LAST_ID), 500)
    shown = [
        {
            "a": named[a],
            "b": named[b],
            "by_alias": by_alias,
            "at": at.isoformat(),
            "name": name if by else "a command",
            "channel": channel,
        }
        for a, b, by_alias, by, at, name, channel in links
    ]
    return {"links": shown, "merges": sum(row[2] == "merge" for row in merges), "items": await _load_items(deps, profile)}


async def _load_items(deps: ApiDeps, profile: StoredProfile) -> list[dict[str, Any]]:
    async with deps.database.connection() as connection:
        rows = await load_timeline(connection, profile.id, TimelineFilter(), (END_OF_TIME, LAST_ID), _SHOWN)
    items = [show_touchpoint(row, with_context=False) for row in rows]
    return [
        {
            "occurred_at": item.occurred_at,
            "channel": item.channel,
            "name": item.name,
            "properties": _cut(bytes(item.properties).decode()) if bytes(item.properties) != b"{}" else "",
        }
        for item in items
    ]


def _build_templates() -> Environment:
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=loader, autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(instant=_show_instant, money=_show_money, plain=_show_plain)
    return environment


def _show_instant(text: str | None) -> str:
    """`2026-03-01T12:00:00.000Z` -> `2026-03-01 12:00:00 UTC`."""
    return f"{text[:10]} {text[11:19]} UTC" if text else _NOTHING


def _show_money(amount_minor: int | None, currency: str) -> str:
    return _NOTHING if amount_minor is None else f"{from_minor(amount_minor, currency):,.{exponent_of(currency)}f} {currency}"


def _show_plain(value: object) -> str:
    return _cut(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
