"""How much a sender may say at once. Public: the README and the SDKs rely on these."""

from typing import Final

EVENT_BYTES: Final = 32 * 1024
BATCH_BYTES: Final = 512_000
"""Not 500,000: segment-analytics-python fills batches up to about 507,800 bytes."""
BATCH_EVENTS: Final = 2500
MESSAGE_ID_CHARS: Final = 100
IDENTIFIER_CHARS: Final = 512
NAME_CHARS: Final = 512
IDENTIFIERS: Final = 100
DEPTH: Final = 64
