"""Privacy requests as ingest hears them: whom not to let in, and from when."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from libs.events.codec import EventMalformed, decode
from libs.events.envelope import Incoming
from libs.events.privacy import PrivacyRequested
from libs.messaging.outcomes import HANDLED, Ignored, Outcome, Reject
from libs.messaging.ports import BatchResult
from services.ingest.ports import PrivacyRequest, SuppressionStore

if TYPE_CHECKING:
    from libs.kit.db import Tx


class Suppressing:
    """The batch handler of topic `privacy-requests`."""

    def __init__(self, store: SuppressionStore) -> None:
        self._store = store

    async def __call__(self, tx: "Tx", messages: Sequence[Incoming]) -> BatchResult:
        read = [_read_request(message) for message in messages]
        await self._store.apply(tx, [item for item in read if isinstance(item, PrivacyRequest)])
        outcomes: list[Outcome] = [HANDLED if isinstance(item, PrivacyRequest) else item for item in read]
        return BatchResult(outcomes)


def _read_request(message: Incoming) -> PrivacyRequest | Ignored | Reject:
    try:
        event = decode(message)
    except EventMalformed:
        return Reject("malformed", "read_privacy_request")
    if not isinstance(event, PrivacyRequested):
        return Ignored("unknown_type")
    return PrivacyRequest(event.request_id, event.kind, event.fragments, event.at, event.cutoff)
