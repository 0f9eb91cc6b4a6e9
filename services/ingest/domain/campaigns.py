"""Where a visit came from: the campaign it states, else the network of a click id, else the host of an external referrer."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

CLICK_IDS: Final[Mapping[str, str]] = {
    "gclid": "google",
    "gbraid": "google",
    "wbraid": "google",
    "fbclid": "facebook",
    "msclkid": "bing",
    "ttclid": "tiktok",
    "twclid": "twitter",
    "li_fat_id": "linkedin",
}
_MAY_HAVE_CLICK_ID: Final = re.compile(f"(?:{'|'.join(CLICK_IDS)})=")


class Origin(NamedTuple):
    source: str | None
    medium: str | None
    campaign: str | None


def derive_origin(context: Mapping[str, object]) -> Origin | None:
    """None for a direct visit. The stated campaign wins whole: a click id beside it changes nothing."""
    stated = _read_campaign(context["campaign"]) if "campaign" in context else None
    if stated is not None:
        return stated
    page = context.get("page")
    if not isinstance(page, dict):
        return None
    search, url, referrer = _text(page.get("search")), _text(page.get("url")), _text(page.get("referrer"))
    network = _find_click_id(search) or _find_click_id(url)
    if network is not None:
        return Origin(network, "cpc", None)
    host = _host_of(referrer)
    if host is None or _without_www(host) == _without_www(_host_of(url) or ""):
        return None
    return Origin(host, "referral", None)


def _read_campaign(campaign: object) -> Origin | None:
    if not isinstance(campaign, dict):
        return None
    source, medium, name = (_text(campaign.get(field)) or None for field in ("source", "medium", "name"))
    return Origin(source, medium, name) if source or medium or name else None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _find_click_id(text: str) -> str | None:
    """The network of the first click id (in the order above) that a URL or its query carries with a value."""
    if _MAY_HAVE_CLICK_ID.search(text) is None:
        return None
    _, _, query = text.rpartition("?")
    query, _, _ = query.partition("#")
    present = {name for name, _, value in (part.partition("=") for part in query.split("&")) if value}
    return next((network for click_id, network in CLICK_IDS.items() if click_id in present), None)


def _host_of(url: str) -> str | None:
    if not url:
        return None
    try:
        return urlsplit(url).hostname or None
    except ValueError:
        return None


def _without_www(host: str) -> str:
    return host.removeprefix("www.")
