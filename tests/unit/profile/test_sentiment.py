"""The sentiment that Rapport gives texts, beside the figures of the paper that describes it (Hutto & Gilbert, ICWSM 2014)."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from services.profile.adapters.sentiment import LONGEST_TEXT, VaderSentiment
from tests.support.absences import find_shared, skip_without

MARGIN = 0.03
"""The lexicon has grown since the paper, so its figures aren't met to the digit."""
CUT = 0.05
"""A text is positive from here on and negative from the same below zero, as VADER's authors have it."""


class Published(NamedTuple):
    correlation: float
    f1: float


TABLE_4 = {
    "tweets": Published(0.881, 0.96),
    "amazonReviewSnippets": Published(0.565, 0.63),
    "movieReviewSnippets": Published(0.451, 0.61),
    "nytEditorialSnippets": Published(0.492, 0.55),
}


def find_corpora() -> Path:
    shared = find_shared()
    if shared is None:
        skip_without("shared", "VADER's corpora are read from ../shared/data/vader")
    return shared / "data" / "vader"


def read_corpus(path: Path) -> list[tuple[float, str]]:
    """Mean rating of twenty people, and the text."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [(float(mean), text) for _, mean, text in (line.split("\t", 2) for line in lines if line.count("\t") > 1)]


def sign(value: float, cut: float = 0.0) -> int:
    return (value > 0 and value >= cut) - (value < 0 and value <= -cut)


def weigh_f1(truth: Sequence[int], told: Sequence[int]) -> float:
    """The classes' F1 scores, weighted by how many of the texts are of each."""
    pairs = list(zip(truth, told, strict=True))
    total = 0.0
    for one in (-1, 0, 1):
        hits, named, there = pairs.count((one, one)), told.count(one), truth.count(one)
        total += there * (2 * hits / (named + there) if named + there else 0.0)
    return total / len(pairs)


@pytest.mark.parametrize("corpus", TABLE_4)
def test_the_published_figures_are_met(corpus: str, capsys: pytest.CaptureFixture[str]) -> None:
    rated = read_corpus(find_corpora() / f"{corpus}_GroundTruth.txt")
    score = VaderSentiment()
    scores = [float(score(text)) for _, text in rated]
    means = [mean for mean, _ in rated]
    found = Published(
        statistics.correlation(means, scores), weigh_f1([sign(mean) for mean in means], [sign(one, CUT) for one in scores])
    )
    paper = TABLE_4[corpus]
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this test is for
            f"\n{corpus}: {len(rated)} texts; correlation {found.correlation:.3f} (paper {paper.correlation:.3f}), "
            f"F1 {found.f1:.2f} (paper {paper.f1:.2f})"
        )
    assert found.correlation == pytest.approx(paper.correlation, abs=MARGIN)
    assert found.f1 == pytest.approx(paper.f1, abs=MARGIN)


def test_only_the_beginning_of_a_text_is_read() -> None:
    score = VaderSentiment()
    assert score("It came. " + "x" * LONGEST_TEXT + " I hate it!") == score("It came. " + "x" * LONGEST_TEXT)
    assert score("I love it") == "0.6369"


async def test_what_was_warmed_is_remembered_and_the_version_says_what_scored_it() -> None:
    score = VaderSentiment()
    await score.warm(["I love it"])
    assert (score("I love it"), score.version) == ("0.6369", "vader-3.3.2/500")
