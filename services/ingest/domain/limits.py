"""How much a sender may say at once. Public: the README and the SDKs rely on these."""

from typing import Final

EVENT_BYTES: Final = 32 * 1024
BATCH_BYTES: Final = 512_000
"""Not 500,000: segment-analytics-python fills batches up to about 507,800 bytes."""
BATCH_EVENTS: Final = 2500
REPEATED_BYTES: Final = 8 * 1024 * 1024
"""What a batch's context may come to when it stands under each of its calls: 3,300 bytes under 2,500 of them."""
MESSAGE_ID_CHARS: Final = 100
IDENTIFIER_CHARS: Final = 512
NAME_CHARS: Final = 512
IDENTIFIERS: Final = 100
DEPTH: Final = 64
KEYS: Final = 2_000
"""Members of all objects of an event together. 32 KB of real data have fewer; thousands of one-letter names are no touchpoint."""
GZIP_MEMBERS: Final = 100
"""Streams in one body: a sender makes one."""
