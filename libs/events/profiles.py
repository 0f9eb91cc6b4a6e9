"""Profile changes: what changed, why, and the whole view after it, so that subscribers never call back."""

from typing import ClassVar, Literal

from msgspec import Raw, Struct

from libs.events.fields import Instant, JsonObject, JsonObjectOrNull
from libs.kit.ids import Id

Cause = Literal["touchpoint", "facet", "merge", "split", "command", "erase", "rebuild"]


class Member(Struct, frozen=True, omit_defaults=True):
    """A fragment of the profile. `membership` grows with each change of its profile or address.

    `address` is the epoch-0 fragment id that resolves to this fragment now; None where the identifier's epoch has passed.
    """

    fragment: Id
    membership: int
    kind: str
    address: Id | None = None


class AppliedTouchpoint(Struct, frozen=True):
    """A touchpoint (the JSON of `TouchpointRecorded`, as received) and the fragment it was folded in."""

    fragment: Id
    body: JsonObject


class ProfileChanged(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A new version of a profile.

    `members` lists all fragments of the profile: the compacted log keeps no other word of them. Empty members: the
    profile was absorbed (`absorbed_into`) or erased; its row and version live on. `founding` never changes.
    `parts` name what changed (`traits`, `orders`, `web`, `segments`, `loyalty`, `identifiers`, `membership`, ...).
    `snapshot` is the view of `GET /v1/profiles/{id}`. `causes` say why, most important first.
    """

    TYPE: ClassVar[str] = "rapport.profile.changed.v1"

    profile_id: Id
    version: int
    changed_at: Instant
    founding: Id
    parts: tuple[str, ...]
    causes: tuple[Cause, ...]
    members: tuple[Member, ...] = ()
    touchpoints: tuple[AppliedTouchpoint, ...] = ()
    absorbed_into: Id | None = None
    snapshot: JsonObjectOrNull = Raw(b"null")
    probe: bool = False


class TouchpointDismissed(Struct, frozen=True, kw_only=True):
    """A touchpoint that changed no profile: ignored or dead-lettered. Lets a reader who waits for it be answered."""

    TYPE: ClassVar[str] = "rapport.touchpoint.dismissed.v1"

    touchpoint_id: Id
    outcome: Literal["ignored", "dead_lettered"]
    reason: str
