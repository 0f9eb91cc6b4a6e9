"""What people ask about their data, by fragment id: nobody is named on the bus."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from libs.events.fields import Instant
from libs.kit.ids import Id

RequestKind = Literal["erase", "suppress", "erase_and_suppress", "lift"]


class PrivacyRequested(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A privacy request that was decided at `at`.

    `suppress` drops every further touchpoint that names one of the `fragments` (epoch-0 ids), until `lift`. `erase` refuses for
    ever what happened or was received at or before the `cutoff` (`at` where it is missing). For one fragment the latest by
    (`at`, `request_id`) says whether it is suppressed, and the latest cutoff counts, whatever the order of arrival.
    """

    TYPE: ClassVar[str] = "rapport.privacy.requested.v1"

    request_id: Id
    kind: RequestKind
    fragments: Annotated[tuple[Id, ...], Meta(min_length=1)]
    at: Instant
    cutoff: Instant | None = None
