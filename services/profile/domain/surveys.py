"""Surveys: of each kind of score the latest answer, by (t, touchpoint id); of recommendation (NPS) the latest few."""

from collections.abc import Iterable
from typing import Final

from msgspec import Raw, Struct

from services.profile.domain.traits import Said, keep_latest
from services.profile.domain.values import ABSENT, NULL, read_number, read_text, render_number, render_time

HISTORY_MAX: Final = 20
WITH_HISTORY: Final = "nps"
KINDS: Final = frozenset({"nps", "csat", "ces"})


class SurveyAnswer(Struct):
    survey_type: Raw = ABSENT
    score: Raw = ABSENT


def read_answer(answer: SurveyAnswer, t_us: int, by: bytes) -> tuple[str, Said] | None:
    """The kind and its score; None for other surveys and where the score is no number (a text that is one will do)."""
    kind = (read_text(answer.survey_type) or "").strip().lower()
    score = read_number(answer.score)
    return None if kind not in KINDS or score is None else (kind, Said(t_us, by, render_number(score)))


def render_answers(answers: Iterable[Said], latest: Said | None) -> Raw:
    """Newest first. `latest` is among them but where it was folded before there was a history."""
    words = keep_latest(answers if latest is None else [*answers, latest], HISTORY_MAX)
    shown = [b'{"score":%b,"at":%b}' % (word.value or NULL, render_time(word.t_us)) for word in words]
    return Raw(b"[%b]" % b",".join(shown))


def render_score(surveys: dict[str, Said], kind: str) -> Raw:
    word = surveys.get(kind)
    return Raw(NULL if word is None or word.value is None else word.value)
