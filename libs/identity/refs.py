"""`{ref}` of the public API: a profile by its id, or by any identifier as `kind:value`."""

import re
from typing import Final
from uuid import UUID

from libs.identity.kinds import normalise_kind
from libs.identity.values import DEFAULT_REGION, normalise

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class RefMalformed(ValueError):
    """The reference is neither an id nor `kind:value`, or its value is one that identifies nobody. It names no profile."""


def parse_ref(ref: str, *, region: str = DEFAULT_REGION) -> UUID | tuple[str, str]:
    """A profile id, or (kind, normalised value). Takes the reference already percent-decoded; raises RefMalformed.

    The value is normalised as a touchpoint's would be: `email:Ada@Example.com` finds what `ada@example.com` made.
    """
    if _UUID.fullmatch(ref):
        return UUID(ref)
    kind_text, colon, value_text = ref.partition(":")
    kind = normalise_kind(kind_text)
    if not colon or kind is None:
        raise RefMalformed("a profile is named by its id or as kind:value")
    value = normalise(kind, value_text, region=region)
    if value is None:
        raise RefMalformed(f"this value of {kind} identifies nobody")
    return kind, value
