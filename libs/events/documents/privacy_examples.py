"""Examples of privacy requests, about a person of the story's shop who never appears in it."""

from typing import Final
from uuid import UUID

from libs.events.documents.story import minutes, name
from libs.events.privacy import PrivacyRequested

_EMAIL: Final = name("email", "grace@example.com")
_USER: Final = name("user_id", "u9")

REQUESTED: Final[tuple[tuple[str, PrivacyRequested], ...]] = (
    (
        "she is to be forgotten, and left alone from then on",
        PrivacyRequested(
            request_id=UUID("0192f0c1-5a00-7000-8000-000000000001"),
            kind="erase_and_suppress",
            fragments=(_USER.fragment, _EMAIL.fragment),
            at=minutes(20),
            cutoff=minutes(20),
        ),
    ),
    (
        "she comes back: what she does now counts again, what was erased stays so",
        PrivacyRequested(
            request_id=UUID("0192f0c1-5a00-7000-8000-000000000002"),
            kind="lift",
            fragments=(_USER.fragment, _EMAIL.fragment),
            at=minutes(30),
        ),
    ),
)
