"""Find a profile by its reference, and wait until a caller's own write can be read in it."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from libs.identity import IdentityKey, RefMalformed, parse_ref
from libs.kit.clock import Clock
from libs.kit.db import Database
from libs.kit.errors import FieldError, Invalid, NotYetVisible
from libs.messaging.errors import PublishFailed
from libs.messaging.ports import Outbox
from libs.subscriber import OUTCOME_HEADER, Arrivals
from libs.subscriber.waiting import DEFAULT_WAIT_MS, MAX_WAIT_MS
from services.profile.adapters.coalescing import Coalescer
from services.profile.api.preconditions import render_etag
from services.profile.domain.views import LOYALTY, SEGMENTS
from services.profile.errors import ProfileNotFound
from services.profile.handlers.metrics import PROBES
from services.profile.handlers.tell_profiles import build_present
from services.profile.ports import StoredProfile
from services.profile.store.facets import load_judged
from services.profile.store.views import load_by_address, load_by_id, load_present
from services.profile.upkeep import FacetFlusher

FACETS: Final = frozenset({SEGMENTS, LOYALTY})
_PROBE_EVERY_S: Final = 0.5
_FIRST_PAUSE_S: Final = 0.004
_LONGEST_PAUSE_S: Final = 0.03


@dataclass(frozen=True, slots=True)
class Wait:
    """What a reader waits for: a touchpoint of its own, and facets that have judged what the touchpoint made."""

    touchpoint_id: UUID | None = None
    wait_ms: int = DEFAULT_WAIT_MS
    facets: frozenset[str] = frozenset()


NO_WAIT: Final = Wait()


def parse_wait(query: bytes) -> Wait:
    """`wait_for`, `wait_ms` and `wait_for_facets` of a query string. Raises Invalid."""
    if not query:
        return NO_WAIT
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return build_wait(given.get("wait_for"), given.get("wait_ms"), given.get("wait_for_facets"))


def build_wait(wait_for: str | None, wait_ms: str | None, facets: str | None) -> Wait:
    """Raises Invalid."""
    try:
        touchpoint_id = UUID(wait_for) if wait_for is not None else None
    except ValueError:
        raise _invalid("wait_for", "isn't a touchpoint id") from None
    named = frozenset(filter(None, (facets or "").split(",")))
    if not named <= FACETS:
        raise _invalid("wait_for_facets", f"names facets other than {', '.join(sorted(FACETS))}")
    if wait_ms is None:
        return Wait(touchpoint_id, DEFAULT_WAIT_MS, named)
    if not wait_ms.isascii() or not wait_ms.isdecimal() or int(wait_ms) > MAX_WAIT_MS:
        raise _invalid("wait_ms", f"isn't a number from 0 to {MAX_WAIT_MS}")
    return Wait(touchpoint_id, int(wait_ms), named)


def _invalid(name: str, detail: str) -> Invalid:
    return Invalid(f"`{name}` {detail}.", errors=[FieldError(f"#/query/{name}", detail)])


class Found(NamedTuple):
    """The profile that answers, `asked_id` the absorbed id that was asked for, and the headers the answer carries."""

    profile: StoredProfile
    asked_id: UUID | None
    headers: dict[str, str]


class Reader:
    """Reads go together where they wait together; a waiting reader holds no connection."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: Outbox,
        arrivals: Arrivals,
        flusher: FacetFlusher,
        identity_key: IdentityKey,
        clock: Clock,
        region: str,
        batch_max: int,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._arrivals = arrivals
        self._flusher = flusher
        self._identity_key = identity_key
        self._clock = clock
        self._region = region
        self._by_id = Coalescer(self._load_by_id, batch_max=batch_max)
        self._by_address = Coalescer(self._load_by_address, batch_max=batch_max)
        self._judged = Coalescer(self._load_judged, batch_max=batch_max, concurrency=1)
        self._probed_at_s: dict[UUID, float] = {}

    async def close(self) -> None:
        for coalescer in (self._by_id, self._by_address, self._judged):
            await coalescer.close()

    def parse(self, ref: str) -> UUID | tuple[str, str]:
        """A profile id or (kind, value). Raises ProfileNotFound for what can name nobody."""
        try:
            return parse_ref(ref, region=self._region)
        except RefMalformed as error:
            raise ProfileNotFound(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error

    async def find(self, ref: str) -> StoredProfile | None:
        """Raises ProfileNotFound for what is no reference."""
        return await self._find(self.parse(ref))

    async def _find(self, parsed: UUID | tuple[str, str]) -> StoredProfile | None:
        if isinstance(parsed, UUID):
            return await self._by_id.get(parsed)
        return await self._by_address.get(self._identity_key.fragment_id(*parsed))

    async def get(self, ref: str, wait: Wait = NO_WAIT) -> Found:
        """The profile that answers to a reference, once what the caller waits for is in it.

        An unknown reference waits, too. Raises ProfileNotFound, NotYetVisible.
        """
        parsed = self.parse(ref)
        headers: dict[str, str] = {}
        deadline_s = 0.0
        if wait is not NO_WAIT:
            deadline_s = self._clock.monotonic() + wait.wait_ms / 1000
            headers = await self.wait(wait)
        profile = await self._find(parsed)
        if profile is None:
            raise ProfileNotFound("Nobody is known by this reference.")
        if wait.facets:
            profile = await self._wait_for_facets(ref, profile, wait.facets, deadline_s)
        asked_id = parsed if isinstance(parsed, UUID) and parsed != profile.id else None
        if asked_id is not None:
            headers["Content-Location"] = f"/v1/profiles/{profile.id}"
        headers["ETag"] = render_etag(profile.id, profile.version)
        return Found(profile, asked_id, headers)

    async def wait(self, wait: Wait) -> dict[str, str]:
        """Until the touchpoint is in; the header that says what became of it. Raises NotYetVisible."""
        if wait.touchpoint_id is None:
            return {}
        return {OUTCOME_HEADER: await self._arrivals.wait_for(wait.touchpoint_id, wait.wait_ms)}

    async def _wait_for_facets(
        self, ref: str, profile: StoredProfile, facets: Collection[str], deadline_s: float
    ) -> StoredProfile:
        """Until each facet has judged the version that stood when the wait began, or a later one.

        Subscribers that saw nothing to change stay silent, so they are asked: the record is published again as a probe, which
        they always answer. At the end the profile is read again, with what they said.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            judged = await self._judged.get(profile.id) or {}
            if all(judged.get(facet, 0) >= profile.version for facet in facets):
                await self._flusher.flush([profile.id])
                return await self.find(ref) or profile
            await self._probe(profile.id)
            left_s = deadline_s - self._clock.monotonic()
            if left_s <= 0:
                raise NotYetVisible(f"{', '.join(sorted(facets))} haven't judged version {profile.version} yet.")
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
            current = await self.find(ref)
            # After a merge nobody speaks of the absorbed id any more: go on with the root.
            profile = current if current is not None and current.id != profile.id else profile

    async def _probe(self, profile_id: UUID) -> None:
        """Ask the subscribers, once for all who wait for this profile at the moment."""
        now_s = self._clock.monotonic()
        if now_s - self._probed_at_s.get(profile_id, -_PROBE_EVERY_S) < _PROBE_EVERY_S:
            return
        self._probed_at_s = {known: at_s for known, at_s in self._probed_at_s.items() if now_s - at_s < _PROBE_EVERY_S}
        self._probed_at_s[profile_id] = now_s
        async with self._database.transaction() as tx:
            outgoing = [build_present(profile, probe=True) for profile in await load_present(tx, [profile_id])]
            # Through the outbox: a probe of a version that is old by then is followed by the new one, as every record is.
            staged = await self._outbox.stage(tx, outgoing)
        if staged is not None:
            PROBES.inc()
            with suppress(PublishFailed):
                await self._outbox.publish(staged, outgoing)

    async def _load_by_id(self, ids: Collection[UUID]) -> Mapping[UUID, StoredProfile]:
        async with self._database.connection() as connection:
            return await load_by_id(connection, ids)

    async def _load_by_address(self, addresses: Collection[UUID]) -> Mapping[UUID, StoredProfile]:
        async with self._database.connection() as connection:
            return await load_by_address(connection, addresses)

    async def _load_judged(self, profile_ids: Collection[UUID]) -> Mapping[UUID, Mapping[str, int]]:
        async with self._database.connection() as connection:
            return await load_judged(connection, profile_ids)
