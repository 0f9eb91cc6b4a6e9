"""Field types shared by the event classes."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Raw

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time, RFC 3339 with an offset. One without is malformed: nobody can say when it was."""

JsonObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
"""A JSON object passed through as its bytes, undecoded and unchanged. That it is an object is the producer's promise."""

JsonObjectOrNull = Annotated[Raw, Meta(extra_json_schema={"type": ["object", "null"]})]
