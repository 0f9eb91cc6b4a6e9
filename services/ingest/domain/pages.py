"""The page a touchpoint came from, fit to be grouped by: addresses without query, fragment and credentials.

What a query carries is in the context as sent; here it would only tell every visit from every other, and keep secrets longer.
"""

import re
from typing import Final, NamedTuple

from services.ingest.domain.calls import Object
from services.ingest.domain.vocabulary import Kind

_CREDENTIALS: Final = re.compile(r"(?<=//)[^/@]*@")


class Page(NamedTuple):
    url: str | None
    path: str | None
    title: str | None
    referrer: str | None


def read_page(kind: Kind, context: Object, properties: Object) -> Page | None:
    """What `context.page` says; a page call's own properties where that says nothing."""
    page = context.get("page")
    stated = page if isinstance(page, dict) and page else properties if kind == "page" else None
    if not stated:
        return None
    url, path = cut_address(stated.get("url")), cut_address(stated.get("path"))
    title = stated.get("title")
    found = Page(url, path, title if isinstance(title, str) and title else None, cut_address(stated.get("referrer")))
    return found if any(found) else None


def cut_address(address: object) -> str | None:
    """Without query and fragment, and without a name and password before the host; None for what is no text."""
    if not isinstance(address, str):
        return None
    address = address.partition("?")[0].partition("#")[0]
    if "@" in address:
        address = _CREDENTIALS.sub("", address, count=1)
    return address or None
