"""Search: candidates by hashes, compared with their views, a page by id or by what they are sorted by."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from libs.durable.cursors import decode_cursor
from libs.identity import EXTERNAL, STRENGTH
from libs.kit.db import Tx
from libs.kit.errors import FieldError, Invalid
from services.profile.api.deps import ApiDeps
from services.profile.domain.search import (
    SORTED_MAX,
    Wanted,
    compute_name_keys,
    compute_trait_key,
    has_name,
    has_trait,
    read_sorted,
    split_name,
)
from services.profile.errors import ProfileNotFound, TooManyToSort
from services.profile.handlers.tell_profiles import render_stored
from services.profile.ports import StoredProfile
from services.profile.store.search import FIRST_NAME, LAST_NAME, find_by_name, find_profiles
from services.profile.store.views import load_by_id, load_page

_FIRST_ID: Final = UUID(int=0)
_TEXTS: Final = frozenset({"name", "first_seen_at", "last_seen_at"})
Place = tuple[Any, ...]


class Search(NamedTuple):
    """`text`: an identifier, or words of a name. `traits`: name -> value, all of them."""

    text: str | None
    traits: dict[str, str]
    fuzzy: bool = False

    @property
    def is_all(self) -> bool:
        return self.text is None and not self.traits

    def want(self) -> Wanted | None:
        """None: nobody is looked up by hashes."""
        traits = [compute_trait_key(name, value) for name, value in self.traits.items()]
        names = compute_name_keys(split_name(self.text), fuzzy=self.fuzzy) if self.text is not None else []
        return Wanted(traits, names) if names or (traits and self.text is None) else None

    def has_traits(self, view: bytes) -> bool:
        return all(has_trait(view, name, value) for name, value in self.traits.items())

    def fits(self, view: bytes) -> bool:
        """Of who was looked up by hashes."""
        return self.has_traits(view) and (self.text is None or has_name(view, split_name(self.text), fuzzy=self.fuzzy))


class FoundPage(NamedTuple):
    """`last`: the place to go on from; None where there is no more."""

    views: Sequence[bytes]
    last: Sequence[str | int | UUID] | None


def decode_place(cursor: str | None, sort: str | None) -> Place | None:
    """Where to go on: an id, or a value and an id. Raises CursorInvalid."""
    if cursor is None:
        return None
    if sort is None:
        return decode_cursor(cursor, UUID)
    return decode_cursor(cursor, str if sort.removeprefix("-") in _TEXTS else int, UUID)


async def find_by_id(deps: ApiDeps, search: Search, place: Place | None, limit: int) -> FoundPage:
    """A page by id. It may hold fewer than `limit`: what only looked alike is left out."""
    after: UUID = place[0] if place else _FIRST_ID
    if search.is_all:
        async with deps.database.connection() as connection:
            page = await load_page(connection, after, limit + 1)
        return FoundPage([render_stored(one) for one in page[:limit]], (page[limit - 1].id,) if len(page) > limit else None)
    known = await find_by_identifier(deps, search.text) if search.text is not None else []
    found = {one.id: view for one in known if one.id > after and search.has_traits(view := render_stored(one))}
    last = None
    if (wanted := search.want()) is not None:
        async with deps.database.connection() as connection:
            ids = await find_profiles(connection, wanted, after, limit + 1)
            found |= await _load_fitting(connection, ids[:limit], search)
        last = ids[limit - 1] if len(ids) > limit else None
    ordered = sorted(id_ for id_ in found if last is None or id_ <= last)
    if len(ordered) > limit:
        last = ordered[limit - 1]
    return FoundPage([found[id_] for id_ in ordered[:limit]], (last,) if last is not None else None)


async def find_sorted(deps: ApiDeps, search: Search, sort: str, place: Place | None, limit: int) -> FoundPage:
    """A page in another order: of everybody by the index of names, else of at most `SORTED_MAX` matches. Raises TooManyToSort."""
    descending, sort = sort.startswith("-"), sort.removeprefix("-")
    if search.is_all:
        if sort != "name":
            fault = FieldError("#/query/sort", "needs `q` or a trait beside it")
            raise Invalid("Everybody can be sorted by name or id only.", errors=[fault])
        return await _find_by_name(deps, place, limit, descending=descending)
    views = await _find_fitting(deps, search)
    keyed = sorted(((read_sorted(view, sort), id_) for id_, view in views.items()), reverse=descending)
    rest = [one for one in keyed if place is None or (one < place if descending else one > place)]
    return FoundPage([views[id_] for _, id_ in rest[:limit]], rest[limit - 1] if len(rest) > limit else None)


async def find_all(deps: ApiDeps, refs: Sequence[str]) -> list[StoredProfile | None]:
    """The reads go together; what is no reference is nobody."""

    async def find(ref: str) -> StoredProfile | None:
        try:
            return await deps.reader.find(ref)
        except ProfileNotFound:
            return None

    return await asyncio.gather(*map(find, refs))


async def find_by_identifier(deps: ApiDeps, text: str) -> list[StoredProfile]:
    """Everybody known by the value under any standard kind, or by the reference it is."""
    refs = [text, *(f"{kind}:{text}" for kind in STRENGTH if kind != EXTERNAL)]
    found = await find_all(deps, refs)
    return list({profile.id: profile for profile in found if profile is not None}.values())


async def _find_by_name(deps: ApiDeps, place: Place | None, limit: int, *, descending: bool) -> FoundPage:
    start = (LAST_NAME if descending else FIRST_NAME) if place is None else (place[0], place[1])
    async with deps.database.connection() as connection:
        rows = await find_by_name(connection, start, limit + 1, descending=descending)
        profiles = await load_by_id(connection, [id_ for id_, _ in rows[:limit]])
    views = [render_stored(profiles[id_]) for id_, _ in rows[:limit] if id_ in profiles]
    return FoundPage(views, (rows[limit - 1][1], rows[limit - 1][0]) if len(rows) > limit else None)


async def _find_fitting(deps: ApiDeps, search: Search) -> dict[UUID, bytes]:
    known = await find_by_identifier(deps, search.text) if search.text is not None else []
    found = {one.id: view for one in known if search.has_traits(view := render_stored(one))}
    if (wanted := search.want()) is not None:
        async with deps.database.connection() as connection:
            ids = await find_profiles(connection, wanted, _FIRST_ID, SORTED_MAX + 1)
            if len(ids) > SORTED_MAX:
                raise TooManyToSort(f"More than {SORTED_MAX} profiles match. Narrow the search, or take it by id.")
            found |= await _load_fitting(connection, ids, search)
    return found


async def _load_fitting(connection: Tx, ids: Sequence[UUID], search: Search) -> dict[UUID, bytes]:
    profiles = await load_by_id(connection, ids)
    return {id_: view for id_, profile in profiles.items() if search.fits(view := render_stored(profile))}
