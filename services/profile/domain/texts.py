"""What customers write that has a mood: mentions, reviews, tickets and the comments of surveys."""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from services.profile.domain.facts import MENTION_NAME, REVIEW_NAME, TICKET_NAMES
from services.profile.domain.touchpoint import Touchpoint
from services.profile.domain.values import ABSENT, read_text

SURVEY_NAME: Final = "Survey Answered"
_TEXTS: Final[dict[str, tuple[str, ...]]] = {
    MENTION_NAME: ("text",),
    REVIEW_NAME: ("review_body",),
    SURVEY_NAME: ("comment",),
    **dict.fromkeys(TICKET_NAMES, ("subject", "body")),
}
"""Name -> the properties that make its text, one to a line."""


class _Texts(Struct):
    text: Raw = ABSENT
    review_body: Raw = ABSENT
    comment: Raw = ABSENT
    subject: Raw = ABSENT
    body: Raw = ABSENT


_read = msgspec.json.Decoder(_Texts).decode


def read_text_to_score(touchpoint: Touchpoint) -> str | None:
    """None where there is nothing to score."""
    names = _TEXTS.get(touchpoint.name)
    if names is None or touchpoint.kind != "track":
        return None
    texts = _read(touchpoint.properties)
    said = [text.strip() for name in names if (text := read_text(getattr(texts, name))) is not None]
    return "\n".join(filter(None, said)) or None
