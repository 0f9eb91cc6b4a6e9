"""Field types shared by the event classes."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time, RFC 3339 with an offset. One without is malformed: nobody can say when it was."""
