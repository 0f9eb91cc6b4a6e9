"""`{ref}` -> the profile that has it now, by this service's own map."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from libs.identity import IdentityKey
from libs.kit.db import Tx
from libs.kit.errors import NotFound


class ProfileNotFound(NotFound):
    """No profile answers to the reference, or it names nobody."""

    code: ClassVar[str] = "profile_not_found"


@dataclass(frozen=True, slots=True)
class Resolved:
    """`profile_id` is the profile now; `asked_id` the absorbed id that was asked for, or None (Content-Location names the root)."""

    profile_id: UUID
    asked_id: UUID | None = None


async def resolve_ref(tx: Tx, ref: str, identity_key: IdentityKey) -> Resolved:
    raise NotImplementedError
