from dataclasses import replace
from typing import Any

import pytest

from services.ingest.domain.reasons import Reason
from tests.support.intake import BROWSER, KEY, SERVER, World, make_track, name_all, refuse, take


def names(call: dict[str, Any], **options: Any) -> list[str]:
    return name_all(take(call, **options).identifiers)


def test_user_id_and_anonymous_id_name_the_customer() -> None:
    assert names(make_track(userId="u1", anonymousId="a1")) == ["user_id:u1", "anonymous_id:a1"]


def test_any_one_identifier_suffices() -> None:
    for call in (
        make_track(userId=None, anonymousId="a1"),
        make_track(userId=None, context={"device": {"id": "d1"}}),
        make_track(userId=None, context={"traits": {"email": "a@b.c"}}),
        make_track(userId=None, context={"externalIds": [{"type": "cdnow", "id": "4"}]}),
    ):
        assert len(names(call)) == 1


@pytest.mark.parametrize(("value", "text"), [(4711, "4711"), (4711.0, "4711"), (1.50, "1.5"), (10**20, str(10**20))])
def test_ids_may_arrive_as_numbers(value: float, text: str) -> None:
    assert names(make_track(userId=value)) == [f"user_id:{text}"]


def test_ids_may_arrive_as_null() -> None:
    assert names(make_track(userId=None, anonymousId="a1")) == ["anonymous_id:a1"]


def test_email_and_phone_count_in_the_traits_of_an_identify() -> None:
    call = {"type": "identify", "userId": "u1", "traits": {"email": " Ada@Example.COM ", "phone": "0151 12345678"}}
    assert names(call) == ["user_id:u1", "email:ada@example.com", "phone:+4915112345678"]


def test_email_and_phone_count_in_the_context_of_any_call() -> None:
    assert names(make_track(context={"traits": {"email": "ada@example.com"}})) == ["user_id:u1", "email:ada@example.com"]


def test_the_traits_of_a_group_are_its_accounts_not_a_persons() -> None:
    call = {"type": "group", "userId": "u1", "groupId": "g", "traits": {"email": "office@acme.example"}}
    assert names(call) == ["user_id:u1"]


def test_properties_name_nobody() -> None:
    assert names(make_track(properties={"email": "ada@example.com", "phone": "0151 12345678"})) == ["user_id:u1"]


def test_a_loyalty_card_counts_in_traits_context_traits_and_external_ids() -> None:
    assert names({"type": "identify", "userId": "u1", "traits": {"loyalty_card": "99"}}) == ["user_id:u1", "loyalty_card:99"]
    assert names(make_track(context={"traits": {"loyalty_card": 99}})) == ["user_id:u1", "loyalty_card:99"]
    assert names(make_track(context={"externalIds": [{"type": "loyalty_card", "id": "99"}]})) == [
        "user_id:u1",
        "loyalty_card:99",
    ]


def test_external_ids_become_kinds_of_their_own() -> None:
    external = [{"type": "cdnow", "id": 4, "collection": "users", "encoding": "none"}, {"type": "ios.idfa", "id": "X-1"}]
    assert names(make_track(context={"externalIds": external})) == ["user_id:u1", "cdnow:4", "ios.idfa:X-1"]


@pytest.mark.parametrize("entry", [None, 5, {"type": "a b", "id": "x"}, {"id": "x"}, {"type": "shop"}, {"type": {}, "id": []}])
def test_an_external_id_that_is_none_is_passed_over(entry: object) -> None:
    assert names(make_track(context={"externalIds": [entry]})) == ["user_id:u1"]


@pytest.mark.parametrize("collection", ["accounts", {}, 5])
def test_an_external_id_of_an_account_names_no_person(collection: object) -> None:
    assert names(make_track(context={"externalIds": [{"type": "crm", "id": "1", "collection": collection}]})) == ["user_id:u1"]


def test_the_device_counts() -> None:
    assert names(make_track(context={"device": {"id": "d1", "type": "ios"}})) == ["user_id:u1", "device_id:d1"]


@pytest.mark.parametrize("context", [{"traits": 5}, {"device": "x"}, {"externalIds": {"type": "a"}}, {"traits": {"email": {}}}])
def test_a_context_of_odd_shape_names_nobody_and_does_no_harm(context: object) -> None:
    assert names(make_track(context=context)) == ["user_id:u1"]


def test_identifiers_stand_strongest_first() -> None:
    call = {
        "type": "identify",
        "anonymousId": "a1",
        "traits": {"phone": "0151 12345678", "email": "a@b.c"},
        "context": {"device": {"id": "d"}, "externalIds": [{"type": "zoo", "id": "1"}, {"type": "loyalty_card", "id": "2"}]},
        "userId": "u1",
    }
    kinds = [identifier.kind for identifier in take(call).identifiers]
    assert kinds == ["user_id", "loyalty_card", "zoo", "email", "phone", "anonymous_id", "device_id"]


def test_the_key_of_the_record_is_the_fragment_of_the_strongest_identifier() -> None:
    receipt = World().judge({"batch": [make_track(anonymousId="a1")]})
    assert receipt.outgoing[0].key == str(KEY.fragment_id("user_id", "u1")).encode()


def test_each_identifier_is_there_once() -> None:
    call = {"type": "identify", "userId": "u1", "traits": {"email": "A@B.c"}, "context": {"traits": {"email": "a@b.C"}}}
    assert names(call) == ["user_id:u1", "email:a@b.c"]


@pytest.mark.parametrize(
    "value",
    ["anonymous", "GUEST", "distinct_id", "NaN", "[object Object]", "null", "None", "0", "-1", "", "   ", "000-000", "undefined"],
)
def test_blocked_values_are_dropped_from_the_touchpoint(value: str) -> None:
    assert names(make_track(userId=value, anonymousId="a1")) == ["anonymous_id:a1"]


@pytest.mark.parametrize("value", ["guest", None, "", 0, True, {}, []])
def test_with_no_identifier_left_it_is_refused(value: object) -> None:
    assert refuse(make_track(userId=value)).reason is Reason.NO_IDENTIFIER


def test_a_source_says_what_its_user_id_means() -> None:
    source = replace(SERVER, user_id_kind="shop_b")
    assert names(make_track(userId="u1"), source=source) == ["shop_b:u1"]


def test_what_a_server_says_is_verified() -> None:
    call = {"type": "identify", "userId": "u1", "anonymousId": "a", "traits": {"email": "a@b.c"}}
    assert all(identifier.verified for identifier in take(call).identifiers)


def test_what_a_browser_claims_is_unverified_but_for_its_own_anonymous_id_and_device() -> None:
    call = {
        "type": "identify",
        "userId": "u1",
        "anonymousId": "a",
        "traits": {"email": "a@b.c", "phone": "0151 12345678", "loyalty_card": "9"},
        "context": {"device": {"id": "d"}},
    }
    verified = {identifier.kind: identifier.verified for identifier in take(call, source=BROWSER).identifiers}
    assert verified == {
        "user_id": False,
        "loyalty_card": False,
        "email": False,
        "phone": False,
        "anonymous_id": True,
        "device_id": True,
    }


def test_an_identifier_beyond_all_length_is_refused() -> None:
    assert refuse(make_track(userId="x" * 513)).reason is Reason.IDENTIFIER_TOO_LONG
    assert names(make_track(userId="x" * 512)) == ["user_id:" + "x" * 512]


def test_more_identifiers_than_anyone_has_are_refused() -> None:
    def call(number: int) -> dict[str, Any]:
        return make_track(context={"externalIds": [{"type": "crm", "id": f"c{n}"} for n in range(number)]})

    assert len(names(call(99))) == 100
    assert refuse(call(100)).reason is Reason.TOO_MANY_IDENTIFIERS


class TestAlias:
    def previous(self, call: dict[str, Any], **options: Any) -> list[str]:
        return name_all(take({"type": "alias", **call}, **options).previous)

    def test_a_server_links_the_new_id_with_both_readings_of_the_previous_one(self) -> None:
        assert self.previous({"userId": "u2", "previousId": "p"}) == ["user_id:p", "anonymous_id:p"]

    def test_a_server_with_its_own_user_ids_links_in_their_kind(self) -> None:
        source = replace(SERVER, user_id_kind="shop_b")
        assert self.previous({"userId": "u2", "previousId": "p"}, source=source) == ["shop_b:p", "anonymous_id:p"]

    def test_a_browser_links_the_anonymous_id_only(self) -> None:
        assert self.previous({"userId": "u2", "previousId": "a", "anonymousId": "a"}, source=BROWSER) == ["anonymous_id:a"]

    @pytest.mark.parametrize("previous", ["u1", " u1 "])
    def test_the_same_id_twice_links_nothing(self, previous: str) -> None:
        for source in (SERVER, BROWSER):
            assert self.previous({"userId": "u1", "previousId": previous}, source=source) == []

    def test_the_same_number_and_text_are_the_same_id(self) -> None:
        assert self.previous({"userId": 7, "previousId": "7"}) == []

    @pytest.mark.parametrize("previous", [None, "", "null", "guest"])
    def test_a_previous_id_that_is_nobodys_links_nothing(self, previous: object) -> None:
        assert self.previous({"userId": "u1", "previousId": previous}) == []

    def test_an_alias_is_a_touchpoint_of_the_new_id(self) -> None:
        touchpoint = take({"type": "alias", "userId": "u2", "previousId": "p", "anonymousId": "a"})
        assert name_all(touchpoint.identifiers) == ["user_id:u2", "anonymous_id:a"]

    def test_other_calls_have_no_previous_id(self) -> None:
        assert take(make_track(previousId="p")).previous == ()
