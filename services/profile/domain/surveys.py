"""Surveys: of each kind of score the latest answer, by (t, touchpoint id)."""

from typing import Final

from msgspec import Raw, Struct

from services.profile.domain.traits import Said
from services.profile.domain.values import ABSENT, NULL, read_number, read_text, render_number

KINDS: Final = frozenset({"nps", "csat", "ces"})


class SurveyAnswer(Struct):
    survey_type: Raw = ABSENT
    score: Raw = ABSENT


def read_answer(answer: SurveyAnswer, t_us: int, by: bytes) -> tuple[str, Said] | None:
    """The kind and its score; None for other surveys and where the score is no number (a text that is one will do)."""
    kind = (read_text(answer.survey_type) or "").strip().lower()
    score = read_number(answer.score)
    return None if kind not in KINDS or score is None else (kind, Said(t_us, by, render_number(score)))


def render_score(surveys: dict[str, Said], kind: str) -> Raw:
    word = surveys.get(kind)
    return Raw(NULL if word is None or word.value is None else word.value)
