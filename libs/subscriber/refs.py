"""`{ref}` -> the profile that has it now, by this service's own map."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from libs.identity import IdentityKey, RefMalformed, parse_ref
from libs.kit.db import Tx
from libs.kit.errors import NotFound


class ProfileNotFound(NotFound):
    """No profile answers to the reference, or it names nobody."""

    code: ClassVar[str] = "profile_not_found"


@dataclass(frozen=True, slots=True)
class Resolved:
    """`profile_id` is the profile now; `asked_id` the absorbed id that was asked for, or None.

    Where `asked_id` is set the answer carries `Content-Location` with the root's id.
    """

    profile_id: UUID
    asked_id: UUID | None = None


async def resolve_ref(tx: Tx, ref: str, identity_key: IdentityKey) -> Resolved:
    """Find the profile of an id or of `kind:value`. Raises ProfileNotFound.

    A profile id belongs for ever to its founding fragment, so an absorbed id leads there and to whoever owns that now:
    pointers never chain. An identifier leads through its address (the epoch-0 id) to the live fragment.
    """
    try:
        parsed = parse_ref(ref)
    except RefMalformed as error:
        raise ProfileNotFound(f"{error}.") from error
    if isinstance(parsed, UUID):
        return await _resolve_id(tx, parsed)
    profile_id = await find_owner(tx, identity_key.fragment_id(*parsed))
    if profile_id is None:
        raise ProfileNotFound(f"Nobody is known by this {parsed[0]}.")
    return Resolved(profile_id)


async def find_owner(tx: Tx, address: UUID) -> UUID | None:
    """The profile that an epoch-0 fragment id resolves to now. While a move is under way, the later epoch has it."""
    owner: UUID | None = await tx.fetchval(
        "SELECT profile_id FROM sub_fragments WHERE address = $1 AND profile_id IS NOT NULL"
        " ORDER BY fragment <> address DESC, membership DESC LIMIT 1",
        address,
    )
    return owner


async def _resolve_id(tx: Tx, profile_id: UUID) -> Resolved:
    row = await tx.fetchrow(
        "SELECT founder.profile_id, p.absorbed_into FROM sub_profiles p"
        " LEFT JOIN sub_fragments founder ON founder.fragment = p.founding"
        " WHERE p.profile_id = $1 AND NOT EXISTS (SELECT FROM sub_dead d WHERE d.id = $1)",
        profile_id,
    )
    if row is None:
        raise ProfileNotFound("No profile has this id.")
    # Without a mapped founding fragment the record that maps it is still under way: the id stands, or its own word is taken.
    current = row[0] or row[1] or profile_id
    return Resolved(current, None if current == profile_id else profile_id)
