import pytest

from libs.vocabulary import CATALOGUE
from services.ingest.domain.reasons import Reason
from tests.support.intake import BROWSER, SERVER, World, decode_outgoing, make_track, refuse, take


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("page", "Page Viewed"),
        ("screen", "Screen Viewed"),
        ("identify", "Identified"),
        ("group", "Grouped"),
        ("alias", "Aliased"),
    ],
)
def test_a_call_that_is_no_track_call_has_the_name_of_its_kind(kind: str, name: str) -> None:
    touchpoint = take({"type": kind, "userId": "u1", "previousId": "p", "groupId": "g"})
    assert (touchpoint.kind, touchpoint.name) == (kind, name)


def test_a_track_call_keeps_its_own_name() -> None:
    assert take(make_track(event="Bike Serviced")).name == "Bike Serviced"


@pytest.mark.parametrize(("old", "new"), sorted(CATALOGUE.aliases.items()))
def test_old_segment_names_map_to_the_second_version(old: str, new: str) -> None:
    assert take(make_track(event=old)).name == new


def test_completed_order_of_the_first_version_is_an_order() -> None:
    touchpoint = take(make_track(event="Completed Order", properties={"order_id": "o1", "total": 5, "currency": "EUR"}))
    assert touchpoint.order is not None
    assert (touchpoint.name, touchpoint.order.step, touchpoint.order.amount) == ("Order Completed", "completed", "5")


@pytest.mark.parametrize("event", [None, ""])
def test_a_track_call_without_a_name_says_nothing_and_is_refused(event: str | None) -> None:
    assert refuse(make_track(event=event)).reason is Reason.NAME_MISSING


@pytest.mark.parametrize("type_", [None, "", "audience", "batch"])
def test_an_unknown_kind_is_refused(type_: str | None) -> None:
    assert refuse({"type": type_, "userId": "u1"}).reason is Reason.UNKNOWN_KIND


def test_the_kind_is_read_in_any_case() -> None:
    assert take({"type": "Identify", "userId": "u1"}).kind == "identify"


@pytest.mark.parametrize("channel", ["web", "mobile", "pos", "social", "support", "email", "sms", "push", "server", "import"])
def test_a_channel_of_ours_at_the_top_wins(channel: str) -> None:
    source = SERVER.__class__("s", "S", "server", verified=True, default_channel="pos")
    assert take(make_track(channel=channel), source=source).channel == channel


def test_a_foreign_channel_yields_to_the_sources_default() -> None:
    source = SERVER.__class__("s", "S", "server", verified=True, default_channel="pos")
    assert take(make_track(channel="billboard"), source=source).channel == "pos"


@pytest.mark.parametrize(
    ("kind", "channel"), [("page", "web"), ("screen", "mobile"), ("track", "server"), ("identify", "server"), ("group", "server")]
)
def test_without_any_word_a_page_is_web_a_screen_mobile_and_all_else_server(kind: str, channel: str) -> None:
    for source in (SERVER, BROWSER):
        assert take({"type": kind, "event": "X", "userId": "u1"}, source=source).channel == channel


def test_the_name_and_category_of_a_page_are_among_its_properties() -> None:
    touchpoint = take({"type": "page", "userId": "u1", "name": "Home", "category": "Docs", "properties": {"path": "/"}})
    assert bytes(touchpoint.properties) == b'{"path":"/","name":"Home","category":"Docs"}'


def test_a_pages_own_properties_stand_as_sent() -> None:
    properties = '{"name": "Home",  "title":"\\u00e4"}'
    call = '{"type":"page","userId":"u1","name":"Home","properties":' + properties + "}"
    receipt = World().judge(b'{"batch":[' + call.encode() + b"]}")
    assert bytes(decode_outgoing(receipt)[0].properties) == properties.encode()


def test_the_group_a_call_names_is_carried() -> None:
    assert take({"type": "group", "userId": "u1", "groupId": 77, "traits": {"name": "Acme"}}).group_id == "77"
