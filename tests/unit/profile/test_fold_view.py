"""The rest of the view, sentence by sentence of docs/semantics.md."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.consent import DENIED, decide
from libs.events.touchpoints import Campaign, ConsentStatement, TouchpointRecorded
from tests.builders.touchpoints import START, make_fragment, make_touchpoint
from tests.unit.profile.folded import aggregates, fold

ME = make_fragment("user_id", "u1")


def tracked(number: int, name: str, *, at: Any = 0, **properties: Any) -> TouchpointRecorded:
    return make_touchpoint(number, name=name, at=at, properties=properties)


def test_what_has_nothing_yet_is_present_with_zeros_and_nulls() -> None:
    quiet = {"sent": 0, "delivered": 0, "opened": 0, "clicked": 0, "bounced": 0, "complained": 0, "unsubscribed": 0}
    nothing: dict[str, Any] = {"distinct": 0, "top": []}
    at_noon = [0] * 12 + [1] + [0] * 11
    once = {"server": {"count": 1, "last_at": "2026-03-01T12:00:00.000Z"}}
    nowhere = {"source": None, "medium": None, "campaign": None, "at": None}
    view = fold(make_touchpoint(1, name="Something"))
    del view["aggregates"]["orders"]
    assert view == {
        "first_seen_at": "2026-03-01T12:00:00.000Z",
        "last_seen_at": "2026-03-01T12:00:00.000Z",
        "traits": {},
        "aggregates": {
            "web": {"page_views": 0, "sessions": 0, "last_at": None},
            "support": {"tickets": 0, "tickets_open": 0, "csat_latest": None, "solve_seconds_average": None},
            "social": {"mentions": 0, "sentiment_average": None},
            "reviews": {"count": 0, "rating_average": None},
            "surveys": {"nps_latest": None, "ces_latest": None, "nps_history": []},
            "messages": {"email": quiet, "sms": quiet, "push": quiet},
            "purchases": {"by_month": {}, "products": nothing, "categories": nothing, "brands": nothing},
            "carts": {"open": 0, "last_at": None, "last": None},
            "stores": {"visits": 0, "last_at": None, **nothing},
            "activity": {"hours": at_noon, "channels": once, "devices": nothing, "preferred_channel": None},
        },
        "attribution": {"first": nowhere, "last": nowhere},
        "consent": [],
        "lead": {"stage": None, "since": None, "history": [], "owner": None, "handovers": []},
        "accounts": [],
    }


def test_first_and_last_seen_are_the_least_and_greatest_t_of_all_touchpoints() -> None:
    view = fold(make_touchpoint(1, at=5), make_touchpoint(2, at=-7, kind="alias"), make_touchpoint(3, kind="group", at=9))
    assert (view["first_seen_at"], view["last_seen_at"]) == ("2026-03-01T11:53:00.000Z", "2026-03-01T12:09:00.000Z")


def test_times_are_shown_in_milliseconds_cut_not_rounded_even_before_1970() -> None:
    view = fold(
        make_touchpoint(1, at=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        make_touchpoint(2, at=datetime(2026, 3, 1, 0, 0, 0, 1999, tzinfo=UTC)),
    )
    assert (view["first_seen_at"], view["last_seen_at"]) == ("1969-12-31T23:59:59.999Z", "2026-03-01T00:00:00.001Z")


# Web


def web_of(*touchpoints: TouchpointRecorded) -> dict[str, Any]:
    found: dict[str, Any] = aggregates(*touchpoints)["web"]
    return found


def visit(number: int, at: Any, *, kind: Any = "page", channel: Any = "web", by: str = "user_id:u1") -> TouchpointRecorded:
    return make_touchpoint(number, kind=kind, channel=channel, at=at, by=(by,))


def test_a_session_ends_after_more_than_thirty_minutes() -> None:
    late = START + timedelta(minutes=30)
    assert web_of(visit(1, 0), visit(2, late))["sessions"] == 1
    assert web_of(visit(1, 0), visit(2, late + timedelta(microseconds=1)))["sessions"] == 2


def test_page_screen_and_track_of_web_and_mobile_are_activity_and_nothing_else_is() -> None:
    web = web_of(
        visit(1, 0),
        visit(2, 100, kind="screen", channel="mobile"),
        visit(3, 200, kind="track"),
        visit(4, 300, kind="identify"),
        visit(5, 400, kind="track", channel="server"),
        visit(6, 500, kind="track", channel="email"),
    )
    assert web == {"page_views": 1, "sessions": 3, "last_at": "2026-03-01T15:20:00.000Z"}


def test_a_page_of_another_channel_is_a_page_view_outside_any_session() -> None:
    assert web_of(visit(1, 0, channel="server")) == {"page_views": 1, "sessions": 0, "last_at": None}


def test_sessions_run_over_all_devices() -> None:
    assert web_of(visit(1, 0), visit(2, 20, by="anonymous_id:d1"), visit(3, 40))["sessions"] == 1


def test_late_activity_joins_what_it_lies_between() -> None:
    told = [visit(1, 0), visit(2, 50), visit(3, 100), visit(4, 150), visit(5, 25), visit(6, 125), visit(7, 75)]
    assert [web_of(*told[:n])["sessions"] for n in range(1, 8)] == [1, 2, 3, 4, 3, 2, 1]


# Support, surveys, reviews, social


def test_a_ticket_is_open_unless_its_last_word_is_solved() -> None:
    told = [
        tracked(1, "Support Ticket Opened", ticket_id="a"),
        tracked(2, "Support Ticket Solved", ticket_id="a", at=5),
        tracked(3, "Support Ticket Solved", ticket_id="b", at=1),
        tracked(4, "Support Ticket Reopened", ticket_id="b", at=2),
        tracked(5, "Support Ticket Opened", ticket_id="c", at=9),
        tracked(6, "Support Ticket Solved", ticket_id="c", at=3),
        tracked(7, "Support Ticket Solved"),
    ]
    support = aggregates(*told)["support"]
    assert (support["tickets"], support["tickets_open"]) == (4, 2)


def test_time_to_solve_runs_from_the_first_unsolved_word_to_the_last_solved_one() -> None:
    told = [
        tracked(1, "Support Ticket Opened", ticket_id="a"),
        tracked(2, "Support Ticket Solved", ticket_id="a", at=5),
        tracked(3, "Support Ticket Reopened", ticket_id="b", at=1),
        tracked(4, "Support Ticket Solved", ticket_id="b", at=2),
        tracked(5, "Support Ticket Solved", ticket_id="only solved", at=9),
        tracked(6, "Support Ticket Opened", ticket_id="open", at=9),
    ]
    assert aggregates(*told)["support"]["solve_seconds_average"] == 180
    reopened = tracked(7, "Support Ticket Reopened", ticket_id="a", at=6)
    assert aggregates(*told, reopened)["support"]["solve_seconds_average"] == 60
    solved_again = tracked(8, "Support Ticket Solved", ticket_id="a", at=11)
    assert aggregates(*told, reopened, solved_again)["support"]["solve_seconds_average"] == 360


def test_the_mean_time_to_solve_is_rounded_half_to_even() -> None:
    told = [tracked(1, "Support Ticket Opened", ticket_id="a"), tracked(2, "Support Ticket Solved", ticket_id="a", at=0.5 / 60)]
    assert aggregates(*told)["support"]["solve_seconds_average"] == 0
    longer = [tracked(3, "Support Ticket Opened", ticket_id="b"), tracked(4, "Support Ticket Solved", ticket_id="b", at=2.5 / 60)]
    assert aggregates(*told, *longer)["support"]["solve_seconds_average"] == 2


def test_the_last_twenty_recommendations_are_kept_newest_first() -> None:
    told = [tracked(n, "Survey Answered", survey_type="nps", score=n, at=n) for n in range(25)]
    history = aggregates(*told)["surveys"]["nps_history"]
    assert [one["score"] for one in history] == list(range(24, 4, -1))
    assert history[0]["at"] == "2026-03-01T12:24:00.000Z"


def test_an_id_may_be_a_number() -> None:
    told = [tracked(1, "Support Ticket Opened", ticket_id=7), tracked(2, "Support Ticket Solved", ticket_id="7", at=1)]
    assert aggregates(*told)["support"]["tickets"] == 1


def test_csat_and_nps_are_the_latest_by_time() -> None:
    told = [
        tracked(1, "Survey Answered", survey_type="nps", score=9, at=5),
        tracked(2, "Survey Answered", survey_type="nps", score=2, at=1),
        tracked(3, "Survey Answered", survey_type="csat", score="4", at=1),
        tracked(4, "Survey Answered", survey_type="csat", score="fine", at=7),
        tracked(5, "Survey Answered", survey_type="ces", score=5.5),
    ]
    found = aggregates(*told)
    assert (found["surveys"], found["support"]["csat_latest"]) == (
        {
            "nps_latest": 9,
            "ces_latest": 5.5,
            "nps_history": [
                {"score": 9, "at": "2026-03-01T12:05:00.000Z"},
                {"score": 2, "at": "2026-03-01T12:01:00.000Z"},
            ],
        },
        4,
    )


def test_of_a_review_the_latest_word_wins_and_its_rating_may_be_text() -> None:
    told = [
        tracked(1, "Product Reviewed", review_id="r", rating="1", at=5),
        tracked(2, "Product Reviewed", review_id="r", rating="5", at=1),
        tracked(3, "Product Reviewed", rating=4.5),
        tracked(4, "Product Reviewed", rating="no number"),
        tracked(5, "Product Reviewed", rating=True),
    ]
    assert aggregates(*told)["reviews"] == {"count": 4, "rating_average": 2.75}


@pytest.mark.parametrize(
    ("ratings", "average"),
    [
        (("1", "1", "1.015"), 1.0),
        (("1.005",), 1.0),
        (("1.015",), 1.02),
        (("1", "2", "2"), 1.67),
        (("-0.001",), 0.0),
        (("5e-1",), 0.5),
    ],
)
def test_averages_are_rounded_half_to_even_at_two_decimals(ratings: tuple[str, ...], average: float) -> None:
    told = [tracked(number, "Product Reviewed", rating=rating) for number, rating in enumerate(ratings, 1)]
    assert aggregates(*told)["reviews"]["rating_average"] == average


def test_sentiment_is_the_mean_over_mentions_that_have_a_text() -> None:
    told = [
        tracked(1, "Social Mention Posted", mention_id="a", text="x" * 10),
        tracked(2, "Social Mention Posted", mention_id="a", text="x" * 20, at=1),
        tracked(3, "Social Mention Posted", mention_id="b", text="x" * 25),
        tracked(4, "Social Mention Posted"),
        tracked(5, "Social Mention Posted", text="  "),
    ]
    assert aggregates(*told)["social"] == {"mentions": 4, "sentiment_average": 0.22}


def test_a_message_counts_once_per_state_and_clicked_implies_opened() -> None:
    told = [
        *[tracked(number, "Email Opened", email_id="m1") for number in range(1, 6)],
        tracked(10, "Email Sent", email_id="m1"),
        tracked(11, "Email Link Clicked", email_id="m2"),
        tracked(12, "Email Opened", email_id="m2"),
        tracked(13, "Unsubscribed", email_id="m2"),
        tracked(14, "Email Bounced"),
        tracked(15, "SMS Sent", sms_id="m1"),
        tracked(16, "Push Link Clicked", push_id="m1"),
    ]
    messages = aggregates(*told)["messages"]
    counted = {channel: {state: count for state, count in states.items() if count} for channel, states in messages.items()}
    assert counted == {
        "email": {"sent": 1, "opened": 2, "clicked": 1, "bounced": 1, "unsubscribed": 1},
        "sms": {"sent": 1},
        "push": {"opened": 1, "clicked": 1},
    }


def test_only_track_calls_have_names_that_count() -> None:
    assert aggregates(make_touchpoint(1, kind="page", name="Product Reviewed"))["reviews"]["count"] == 0


# Traits


def test_the_latest_word_on_a_trait_stands_and_null_deletes_it() -> None:
    told = [
        make_touchpoint(1, kind="identify", traits={"plan": "gold", "age": 30, "city": "Ulm"}, at=1),
        make_touchpoint(2, kind="identify", traits={"plan": None, "age": 31}, at=5),
        make_touchpoint(3, kind="identify", traits={"plan": "silver"}, at=3),
        make_touchpoint(4, kind="identify", traits={"city": {"name": "Bonn", "zip": ["53111", None]}}, at=4),
    ]
    assert fold(*told)["traits"] == {"age": 31, "city": {"name": "Bonn", "zip": ["53111", None]}}


def test_reserved_traits_are_stored_in_snake_case_and_custom_ones_keep_their_name() -> None:
    told = [
        make_touchpoint(1, kind="identify", traits={"firstName": "Ada", "createdAt": "2020", "favouriteColour": "red"}),
        make_touchpoint(2, kind="identify", traits={"first_name": "Grace", "lastName": "Hopper"}, at=1),
    ]
    assert fold(*told)["traits"] == {"first_name": "Grace", "last_name": "Hopper", "created_at": "2020", "favouriteColour": "red"}


def test_an_identify_may_carry_its_traits_in_the_context() -> None:
    told = make_touchpoint(1, kind="identify", traits={"plan": "gold"}, context={"traits": {"plan": "x", "city": "Ulm"}})
    assert fold(told)["traits"] == {"plan": "gold", "city": "Ulm"}
    assert fold(make_touchpoint(1, context={"traits": {"city": "Ulm"}}))["traits"] == {}


def test_email_and_phone_are_traits_whichever_way_they_came_shown_normalised() -> None:
    by = ("user_id:u1", "email:ada@example.com", "phone:+4930123456")
    told = make_touchpoint(1, by=by, traits={"email": " ADA@example.com", "phone": "030 123456"}, kind="identify")
    assert fold(told)["traits"] == {"email": "ada@example.com", "phone": "+4930123456"}
    assert fold(make_touchpoint(1, by=by))["traits"] == {"email": "ada@example.com", "phone": "+4930123456"}


def test_a_refused_identifier_is_no_trait() -> None:
    by = ("user_id:u2", "loyalty_card:c1", "email:ada@example.com")
    told = make_touchpoint(1, by=by, kind="identify", traits={"email": "Ada@Example.com", "loyalty_card": "c1", "plan": "gold"})
    refused = {told.id: [("email", "ada@example.com"), ("loyalty_card", "c1")]}
    assert fold(told, refused=refused)["traits"] == {"plan": "gold"}
    assert fold(told)["traits"] == {"plan": "gold", "loyalty_card": "c1", "email": "ada@example.com"}


def test_a_blocked_email_is_no_trait() -> None:
    assert fold(make_touchpoint(1, kind="identify", traits={"email": "null", "phone": "0", "plan": "a"}))["traits"] == {
        "plan": "a"
    }


# Attribution


def test_first_and_last_attribution_are_by_time_and_direct_visits_change_neither() -> None:
    told = [
        make_touchpoint(1, kind="page", at=5, campaign=Campaign("google", "cpc")),
        make_touchpoint(2, kind="page", at=1, campaign=Campaign("news.example", "referral")),
        make_touchpoint(3, kind="page", at=3, campaign=Campaign("newsletter", "email", "spring")),
        make_touchpoint(4, kind="page", at=0),
        make_touchpoint(5, kind="page", at=9),
    ]
    assert fold(*told)["attribution"] == {
        "first": {"source": "news.example", "medium": "referral", "campaign": None, "at": "2026-03-01T12:01:00.000Z"},
        "last": {"source": "google", "medium": "cpc", "campaign": None, "at": "2026-03-01T12:05:00.000Z"},
    }


# Consent


def consenting(number: int, at: float, *said: ConsentStatement, **more: Any) -> TouchpointRecorded:
    return make_touchpoint(number, name="Consent Changed", at=at, consent=said, **more)


def test_consent_is_by_purpose_and_channel_and_the_latest_t_wins() -> None:
    told = [
        consenting(1, 5, ConsentStatement("marketing", "email", "denied", "v3")),
        consenting(2, 1, ConsentStatement("marketing", "email", "granted"), ConsentStatement("marketing", "*", "granted")),
    ]
    assert fold(*told)["consent"] == [
        {
            "purpose": "marketing",
            "channel": "email",
            "status": "denied",
            "at": "2026-03-01T12:05:00.000Z",
            "wording_version": "v3",
            "source": "shop",
        },
        {"purpose": "marketing", "channel": "*", "status": "granted", "at": "2026-03-01T12:01:00.000Z", "source": "shop"},
    ]


def test_at_equal_t_the_greater_touchpoint_id_wins() -> None:
    told = [
        consenting(n, 0, ConsentStatement("marketing", "*", status))
        for n, status in ((1, "granted"), (3, "denied"), (2, "granted"))
    ]
    assert [entry["status"] for entry in fold(*told)["consent"]] == ["denied"]


def test_consent_is_given_at_its_receipt_at_the_latest() -> None:
    told = consenting(1, 5, ConsentStatement("marketing", "*", "granted"), received_at=START)
    assert fold(told)["consent"][0]["at"] == "2026-03-01T12:00:00.000Z"


def test_the_t_of_a_command_stands() -> None:
    told = consenting(1, 5, ConsentStatement("marketing", "*", "granted"), received_at=START, source_id="profile-api")
    assert fold(told)["consent"][0]["at"] == "2026-03-01T12:05:00.000Z"


def test_a_word_tells_its_source_wording_and_proof() -> None:
    (entry,) = fold(consenting(1, 0, ConsentStatement("marketing", "email", "granted", "v2", "form 17")))["consent"]
    assert (entry["source"], entry["wording_version"], entry["proof"]) == ("shop", "v2", "form 17")


def test_the_order_of_the_view_decides_as_the_words_do() -> None:
    told = [
        consenting(1, 5, ConsentStatement("marketing", "*", "granted")),
        consenting(2, 5, ConsentStatement("marketing", "email", "denied")),
        consenting(3, 9, ConsentStatement("research", "*", "denied"), ConsentStatement("research", "email", "granted")),
    ]
    entries = fold(*told)["consent"]
    # At one time the greater touchpoint id has the last word; of one touchpoint the more special word counts.
    assert decide(entries, "marketing", "email", {}, DENIED).status == "denied"
    assert decide(entries, "marketing", "sms", {}, DENIED).status == "granted"
    assert decide(entries, "research", "email", {}, DENIED).status == "granted"
