"""The catalogue as ingest and the profile keep it: every example passes unchanged, and moves what it says it moves."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.documents.vocabulary import build_example
from libs.events.touchpoints import TouchpointRecorded
from libs.vocabulary import CATALOGUE, StandardName
from services.ingest.domain.aliases import add_standard_names
from services.ingest.domain.calls import read_object
from services.ingest.domain.reasons import Flag
from services.ingest.domain.vocabulary import CONSENT_NAMES, KIND_NAMES, ORDER_STEPS
from services.profile.domain.facts import CART_NAMES, MENTION_NAME, MESSAGE_NAMES, REVIEW_NAME, TICKET_NAMES, VISIT_NAME
from services.profile.domain.messages import SENT
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook
from tests.support.intake import make_track, take

ENTRIES = sorted(CATALOGUE.names.values(), key=lambda entry: entry.name)
MOVING = [entry for entry in ENTRIES if entry.moves]


def read(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def fold(*touchpoints: TouchpointRecorded) -> dict[str, Any]:
    book = FoldingBook(FakeFactRows())
    asyncio.run(book.apply([(one.identifiers[0].fragment, one) for one in touchpoints]))
    return book.view(touchpoints[0].identifiers[0].fragment)


def pick(view: Any, path: str) -> Any:
    for step in path.split("."):
        view = view[step]
    return view


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_example_passes_unchanged(entry: StandardName) -> None:
    call = build_example(entry)
    touchpoint = take(call)
    assert (touchpoint.kind, touchpoint.name, touchpoint.flags) == (entry.kind, entry.name, ())
    payloads = [read(raw) for raw in (touchpoint.properties, touchpoint.traits, touchpoint.context)]
    assert payloads == [call.get(name, {}) for name in ("properties", "traits", "context")]


@pytest.mark.parametrize("entry", MOVING, ids=lambda entry: entry.name)
def test_every_example_moves_what_the_catalogue_says(entry: StandardName) -> None:
    earlier = take(make_track(event="Espresso Tasted", timestamp="2020-01-01T00:00:00Z", messageId="first"))
    completed = build_example(CATALOGUE.names["Order Completed"]) | {"timestamp": "2020-01-01T00:01:00Z"}
    filled = build_example(CATALOGUE.names["Product Added"]) | {"timestamp": "2020-01-01T00:02:00Z", "messageId": "filled"}
    known = [earlier, take(filled), take(completed)] if entry.name != "Order Completed" else [earlier]
    before, after = fold(*known), fold(*known, take(build_example(entry)))
    for path in entry.moves:
        assert pick(before, path) != pick(after, path), path


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if not entry.moves], ids=lambda entry: entry.name)
def test_what_moves_nothing_by_the_catalogue_moves_nothing(entry: StandardName) -> None:
    at = "2026-11-22T11:59:00Z"
    plain = fold(take(make_track(event="Espresso Tasted", timestamp=at)))
    said = fold(take({**build_example(entry), "timestamp": at}))
    # Whatever somebody does is activity; what the shop or a provider does is none.
    del plain["aggregates"]["activity"], said["aggregates"]["activity"]
    assert plain == said


def test_the_catalogue_has_every_name_that_somebody_acts_on() -> None:
    acted_on = {
        *MESSAGE_NAMES,
        *TICKET_NAMES,
        *CART_NAMES,
        VISIT_NAME,
        REVIEW_NAME,
        MENTION_NAME,
        *SENT,
        *KIND_NAMES.values(),
        *ORDER_STEPS,
        *CONSENT_NAMES,
    }
    acted_on |= {"Survey Answered", "Lead Captured", "Lead Stage Changed"}
    assert acted_on <= CATALOGUE.names.keys()
    assert {entry.name for entry in ENTRIES if entry.kind != "track"} == set(KIND_NAMES.values())


@pytest.mark.parametrize("name", ["order completed", "Order_Completed", "order-completed", "orderCompleted", "completed_order"])
def test_a_name_like_a_standard_one_is_kept_and_flagged(name: str) -> None:
    touchpoint = take(make_track(event=name, properties={"order_id": "1", "revenue": 5}))
    assert (touchpoint.name, touchpoint.order, touchpoint.flags) == (name, None, (Flag.NAME_LIKE_STANDARD,))


def test_only_track_calls_have_names_of_their_own_to_be_told_of() -> None:
    assert take({"type": "page", "userId": "u1", "name": "order completed"}).flags == ()


class TestOtherSpellings:
    def properties(self, name: str, properties: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
        touchpoint = take(make_track(event=name, properties=properties))
        return read(touchpoint.properties), touchpoint.flags

    @pytest.mark.parametrize(
        ("name", "sent", "kept"),
        [
            ("Order Cancelled", {"orderId": "1"}, {"orderId": "1", "order_id": "1"}),
            ("Checkout Started", {"orderId": 7}, {"orderId": 7, "order_id": 7}),
            ("Payment Info Entered", {"orderId": "1", "order_id": None}, {"orderId": "1", "order_id": "1"}),
            ("Product Viewed", {"id": "p1", "sky": "s1"}, {"id": "p1", "sky": "s1", "product_id": "p1", "sku": "s1"}),
            ("Viewed Product", {"id": "p1"}, {"id": "p1", "product_id": "p1"}),
            (
                "Cart Viewed",
                {"products": [{"id": "p1"}, {"product_id": "p2"}, 5, None]},
                {"products": [{"id": "p1", "product_id": "p1"}, {"product_id": "p2"}, 5, None]},
            ),
        ],
    )
    def test_the_standard_name_comes_to_stand_beside_them(self, name: str, sent: dict[str, Any], kept: dict[str, Any]) -> None:
        assert self.properties(name, sent) == (kept, (Flag.ALIASES,))

    @pytest.mark.parametrize(
        ("name", "sent"),
        [
            ("Product Viewed", {"id": "x", "product_id": "p1"}),
            ("Product Viewed", {"id": None}),
            ("Product Reviewed", {"id": "r1", "rating": 4}),
            ("Support Ticket Opened", {"id": "t1"}),
            ("Espresso Tasted", {"id": "e1", "orderId": "1", "products": [{"id": "p1"}]}),
            ("Cart Viewed", {"id": "c1", "products": {"id": "p1"}}),
        ],
    )
    def test_nothing_else_is_touched(self, name: str, sent: dict[str, Any]) -> None:
        assert self.properties(name, sent) == (sent, ())

    def test_numbers_keep_their_literals(self) -> None:
        payload = read_object(msgspec.Raw(b'{"id":1.10,"price":0.30000000000000000001,"products":[{"id":"p","price":1.10}]}'))
        assert bytes(add_standard_names("Product Viewed", payload).raw) == (
            b'{"id":1.10,"price":0.30000000000000000001,"products":[{"id":"p","price":1.10}],"product_id":1.10}'
        )

    @given(
        st.sampled_from([*CATALOGUE.names, "Espresso Tasted"]),
        st.dictionaries(
            st.sampled_from(["id", "sky", "orderId", "order_id", "product_id", "sku", "products", "x"]),
            st.none()
            | st.integers()
            | st.text()
            | st.lists(st.dictionaries(st.sampled_from(["id", "sky", "sku"]), st.integers() | st.none()) | st.integers()),
        ),
    )
    def test_whatever_is_sent_stays_and_a_second_time_adds_nothing(self, name: str, sent: dict[str, Any]) -> None:
        payload = read_object(msgspec.Raw(json.dumps(sent).encode()))
        once = add_standard_names(name, payload)
        assert read(once.raw) == once.value
        products = sent.get("products")
        for key, value in sent.items():
            if key == "products" and isinstance(products, list):
                assert [
                    line if not isinstance(line, dict) else line | kept
                    for line, kept in zip(products, once.value["products"], strict=True)
                ] == once.value["products"]  # type: ignore[arg-type]
            elif value is not None:
                assert once.value[key] == value
        assert add_standard_names(name, once) is once
