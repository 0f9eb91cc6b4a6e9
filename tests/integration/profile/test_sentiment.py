"""What people write is scored once, when it is applied, and the score stays with the touchpoint."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from services.profile.api.shapes import show_touchpoint
from services.profile.store.timeline import END_OF_TIME, LAST_ID, TimelineFilter, load_timeline
from tests.integration.profile.driving import Profiles, make_touchpoint


def write(number: int, name: str, **properties: Any) -> Any:
    return make_touchpoint(number, "u1", name=name, properties=Raw(msgspec.json.encode(properties)))


async def scores(profiles: Profiles) -> dict[str, Any]:
    view = await profiles.view("u1")
    assert view is not None
    async with profiles.database.connection() as connection:
        rows = await load_timeline(connection, view["id"], TimelineFilter(), (END_OF_TIME, LAST_ID), 50)
    items = [show_touchpoint(row, with_context=False) for row in rows]
    return {item.message_id: msgspec.json.decode(item.sentiment) if item.sentiment else None for item in items}


@pytest.mark.parametrize(
    ("name", "properties", "text"),
    [
        ("Social Mention Posted", {"text": "Great"}, "Great"),
        ("Product Reviewed", {"review_body": "Great", "rating": 5}, "Great"),
        ("Survey Answered", {"comment": "Great", "survey_type": "nps"}, "Great"),
        ("Support Ticket Opened", {"subject": "Late", "body": "Where is it?"}, "Late\nWhere is it?"),
        ("Support Ticket Updated", {"body": "It came"}, "It came"),
    ],
)
async def test_mentions_reviews_tickets_and_comments_are_scored(
    profiles: Profiles, name: str, properties: dict[str, Any], text: str
) -> None:
    profiles.sentiment.score = "0.6249"
    await profiles.apply(write(1, name, **properties))
    assert profiles.sentiment.scored == [text]
    assert await scores(profiles) == {"1": {"score": 0.6249, "version": "flat-1"}}


@pytest.mark.parametrize(
    ("name", "properties"),
    [("Product Viewed", {"text": "Great"}), ("Product Reviewed", {"rating": 5}), ("Survey Answered", {"comment": "  "})],
)
async def test_what_has_no_text_has_no_score(profiles: Profiles, name: str, properties: dict[str, Any]) -> None:
    await profiles.apply(write(1, name, **properties))
    assert await scores(profiles) == {"1": None}


async def test_a_newer_version_scores_what_comes_and_nothing_that_was_there(profiles: Profiles) -> None:
    told = write(1, "Social Mention Posted", text="Great", mention_id="m1")
    profiles.sentiment.score = "0.5000"
    await profiles.apply(told)
    profiles.sentiment.score, profiles.sentiment.version = "-0.5000", "flat-2"
    await profiles.apply(told)
    await profiles.apply(write(2, "Social Mention Posted", text="Bad", mention_id="m2"))
    found = {"1": {"score": 0.5, "version": "flat-1"}, "2": {"score": -0.5, "version": "flat-2"}}
    assert await scores(profiles) == found
    await profiles.apply(make_touchpoint(3, "u1", "e1"))
    await profiles.split("u1", "e1")  # everything is folded anew from what is stored
    assert {message_id: score for message_id, score in (await scores(profiles)).items() if score} == found
    view = await profiles.view("u1")
    assert view is not None
    assert view["aggregates"]["social"] == {"mentions": 2, "sentiment_average": 0.0}
