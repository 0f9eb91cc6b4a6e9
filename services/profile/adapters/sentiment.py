"""Sentiment of a text by VADER (Hutto & Gilbert 2014), remembered: scoring stays out of the transaction that counts it."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from services.profile.domain.facts import read_text_to_score
from services.profile.domain.touchpoint import Touchpoint

VERSION: Final = "vader-3.3.2"
"""Of the scores. Another version would score old mentions otherwise when they are told again."""

_LONGEST_TEXT: Final = 2_000
_REMEMBERED: Final = 8192


class VaderSentiment:
    """Call it with a text: -1 to 1, a decimal of 4 places. Pure; about 0.1 ms for a short text, 15 ms for a long one."""

    __slots__ = ("_score",)

    def __init__(self) -> None:
        analyser = SentimentIntensityAnalyzer()

        @lru_cache(maxsize=_REMEMBERED)
        def score(text: str) -> str:
            # VADER rounds its compound score to 4 places itself; formatting makes that exact.
            return f"{analyser.polarity_scores(text)['compound']:.4f}"

        self._score = score

    def __call__(self, text: str) -> str:
        return self._score(text[:_LONGEST_TEXT])

    def warm(self, touchpoints: Iterable[Touchpoint]) -> None:
        """Score what these touchpoints will ask for."""
        for touchpoint in touchpoints:
            text = read_text_to_score(touchpoint)
            if text is not None:
                self(text)
