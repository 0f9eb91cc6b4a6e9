from datetime import timedelta
from typing import Any

import pytest

from libs.events.touchpoints import Campaign, ConsentStatement
from services.ingest.domain.campaigns import CLICK_IDS
from services.ingest.domain.reasons import Flag
from tests.support.intake import NOW, make_track, take


def origin(**context: Any) -> Campaign | None:
    return take(make_track(context=context)).campaign


def test_the_campaign_is_what_the_context_says() -> None:
    campaign = {"name": "spring", "source": "newsletter", "medium": "email", "term": "x", "content": "y"}
    assert origin(campaign=campaign) == Campaign("newsletter", "email", "spring")


def test_a_campaign_may_say_little() -> None:
    assert origin(campaign={"name": "spring"}) == Campaign(None, None, "spring")


@pytest.mark.parametrize("campaign", [{}, {"name": " "}, {"name": 5}, {"term": "x"}, "spring", None])
def test_a_campaign_that_says_nothing_is_none(campaign: object) -> None:
    assert origin(campaign=campaign) is None


@pytest.mark.parametrize(("click_id", "network"), sorted(CLICK_IDS.items()))
def test_a_click_id_alone_gives_its_network_and_cpc(click_id: str, network: str) -> None:
    expected = Campaign(network, "cpc", None)
    assert origin(page={"search": f"?a=b&{click_id}=XYZ"}) == expected
    assert origin(page={"url": f"https://shop.example/p?{click_id}=XYZ#top"}) == expected


def test_a_campaign_beside_a_click_id_stands_whole() -> None:
    assert origin(campaign={"name": "spring"}, page={"search": "?gclid=X"}) == Campaign(None, None, "spring")


@pytest.mark.parametrize("search", ["?gclid=", "?gclidx=1", "gclid", "?q=gclid"])
def test_a_click_id_without_a_value_is_none(search: str) -> None:
    assert origin(page={"search": search}) is None


def test_an_external_referrer_alone_gives_its_host_and_referral() -> None:
    page = {"referrer": "https://Blog.Example:8443/post?x=1", "url": "https://shop.example/"}
    assert origin(page=page) == Campaign("blog.example", "referral", None)


@pytest.mark.parametrize("url", ["https://shop.example/a", "http://www.shop.example/b"])
def test_a_referrer_from_ones_own_pages_is_a_direct_visit(url: str) -> None:
    assert origin(page={"referrer": "https://shop.example/x", "url": url}) is None


@pytest.mark.parametrize("referrer", ["", None, "about:blank", "not a url", "http://[", 5, "android-app:"])
def test_a_referrer_without_a_host_is_a_direct_visit(referrer: object) -> None:
    assert origin(page={"referrer": referrer, "url": "https://shop.example/"}) is None


@pytest.mark.parametrize("page", [None, "x", [], 5])
def test_a_page_of_odd_shape_is_a_direct_visit(page: object) -> None:
    assert origin(page=page) is None


def consent(call: dict[str, Any]) -> tuple[ConsentStatement, ...]:
    return take(call).consent


def test_category_preferences_are_granted_or_denied_for_every_channel() -> None:
    context = {"consent": {"categoryPreferences": {"marketing": True, "analytics": False}}}
    assert consent(make_track(context=context)) == (
        ConsentStatement("marketing", "*", "granted"),
        ConsentStatement("analytics", "*", "denied"),
    )


@pytest.mark.parametrize(
    "preferences", [None, [], "yes", {"marketing": "true"}, {"marketing": 1}, {"marketing": None}, {"": True}]
)
def test_preferences_that_are_neither_true_nor_false_say_nothing(preferences: object) -> None:
    assert consent(make_track(context={"consent": {"categoryPreferences": preferences}})) == ()


def changed(**properties: Any) -> dict[str, Any]:
    return make_track(event="Consent Changed", properties=properties)


def test_consent_changed_says_purpose_channel_status_and_wording() -> None:
    call = changed(purpose="marketing", channel="email", status="granted", wording_version=3)
    assert consent(call) == (ConsentStatement("marketing", "email", "granted", "3"),)


def test_consent_changed_without_a_channel_holds_for_every_one() -> None:
    assert consent(changed(purpose="marketing", status="Denied")) == (ConsentStatement("marketing", "*", "denied"),)


@pytest.mark.parametrize(
    "properties", [{}, {"purpose": "m"}, {"purpose": "m", "status": "maybe"}, {"purpose": 5, "status": "granted"}]
)
def test_consent_that_cannot_be_read_is_flagged_never_guessed(properties: dict[str, Any]) -> None:
    touchpoint = take(changed(**properties))
    assert (touchpoint.consent, touchpoint.flags) == ((), (Flag.CONSENT_UNREADABLE,))


def test_the_time_of_a_consent_is_at_most_its_receipt() -> None:
    ahead = NOW + timedelta(minutes=3)
    touchpoint = take({**changed(purpose="marketing", status="granted"), "timestamp": ahead.isoformat()})
    assert (touchpoint.occurred_at, touchpoint.original_at) == (NOW, ahead)
