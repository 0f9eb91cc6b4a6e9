"""Whatever is sent to an address that takes touchpoints: no 5xx, and all of it is in the log, taken or refused."""

import json
from functools import cache
from typing import Any, NamedTuple

from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from libs.kit.http import get_entry
from services.ingest.domain.routes import BATCH, CLOUD_EVENTS, OWN, SDK_METRICS, SINGLE
from tests.support.intake import World

TRACKING = (*SINGLE, *BATCH)
WORDS = (
    "type", "event", "name", "userId", "anonymousId", "groupId", "previousId", "messageId", "timestamp", "sentAt", "properties",
    "traits", "context", "batch", "writeKey", "touchpoints", "identifiers", "kind", "occurred_at", "id", "specversion", "source",
    "data", "data_base64", "time", "subject", "order_id", "revenue", "currency", "products", "email", "externalIds",
)  # fmt: skip
VALUES = ("track", "identify", "page", "screen", "group", "alias", "Order Completed", "u1", "1.0", "2026-01-01T00:00:00Z", "EUR")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(VALUES)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=8),
    max_leaves=40,
)
CALL = st.dictionaries(st.sampled_from(WORDS), JSON, max_size=10).map(lambda call: {"type": "track", "event": "E", **call})
ITEMS = st.lists(CALL | JSON, max_size=6)
BODIES = st.binary(max_size=200) | (CALL | JSON).map(lambda value: json.dumps(value).encode())


class Answer(NamedTuple):
    status: int
    body: bytes


@cache
def open_app() -> tuple[World, FastAPI]:
    world = World()
    return world, world.build_app()


async def send(path: str, body: bytes, headers: dict[str, str] | None = None, *, method: str = "POST", query: str = "") -> Answer:
    """What a server's process would call, without a server: headers as they come from the wire."""
    said = {"x-write-key": "dev-write-key", "prefer": "return=representation", **(headers or {})}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in said.items()]
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(), "headers": raw,
        "scheme": "http",
    }  # fmt: skip
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def collect(message: Any) -> None:
        messages.append(message)

    await get_entry(open_app()[1])(scope, receive, collect)
    return Answer(messages[0]["status"], b"".join(message.get("body", b"") for message in messages[1:]))


def count_logged() -> tuple[int, int]:
    world = open_app()[0]
    return len(world.broker.records("touchpoints")), len(world.broker.records("touchpoint-rejections"))


async def account(path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[Answer, list[int]]:
    """The answer, and the indexes of all that was accepted or rejected; the log must hold just as much."""
    before = count_logged()
    answer = await send(path, body, headers)
    touchpoints, rejections = (now - then for now, then in zip(count_logged(), before, strict=True))
    assert answer.status < 500, answer
    if answer.status != 200:
        assert {"code", "detail"} <= json.loads(answer.body).keys()
        assert touchpoints == 0
        return answer, [0] * rejections
    receipt = json.loads(answer.body)
    assert (len(receipt["accepted"]), len(receipt["rejected"])) == (touchpoints, rejections)
    return answer, sorted(item["index"] for item in (*receipt["accepted"], *receipt["rejected"]))


@given(path=st.sampled_from(TRACKING), body=BODIES)
async def test_any_bytes_on_a_tracking_address_are_taken_or_parked(path: str, body: bytes) -> None:
    answer, accounted = await account(path, body)
    if answer.status == 200 and path in SINGLE:
        assert accounted == [0]
    if answer.status != 200:
        assert (answer.status, accounted) == (400, [0])
        assert json.loads(answer.body)["message"]


@given(
    path=st.sampled_from(BATCH),
    items=ITEMS,
    envelope=st.dictionaries(st.sampled_from(["sentAt", "context", "timestamp", "integrations", "x"]), JSON),
)
async def test_every_item_of_a_batch_is_accepted_or_rejected(path: str, items: list[Any], envelope: dict[str, Any]) -> None:
    answer, accounted = await account(path, json.dumps({**envelope, "batch": items}).encode())
    assert (answer.status, accounted) == (200, list(range(len(items))))


@given(items=ITEMS, key=st.text(st.characters(codec="latin-1", categories=["L", "N", "S"]), max_size=300) | st.none())
async def test_every_touchpoint_of_our_own_json_is_accepted_or_rejected(items: list[Any], key: str | None) -> None:
    headers = {} if key is None else {"idempotency-key": key}
    answer, accounted = await account(OWN, json.dumps({"touchpoints": items}).encode(), headers)
    if answer.status == 200:
        assert accounted == list(range(len(items)))
    else:
        assert (answer.status, accounted) == (422, []), "a member nobody has refuses the request: nothing of it is taken"


@given(body=BODIES)
async def test_any_bytes_on_our_own_address_are_answered(body: bytes) -> None:
    answer, accounted = await account(OWN, body)
    assert answer.status in (200, 400, 422)
    assert len(accounted) == 1 or answer.status in (200, 422)


@given(events=ITEMS)
async def test_every_cloudevent_of_a_batch_is_accepted_or_rejected(events: list[Any]) -> None:
    full = [{"specversion": "1.0", "id": "1", "source": "s", **event} if isinstance(event, dict) else event for event in events]
    answer, accounted = await account(
        CLOUD_EVENTS, json.dumps(full).encode(), {"content-type": "application/cloudevents-batch+json"}
    )
    assert (answer.status, accounted) == (200, list(range(len(events))))


@given(
    body=BODIES,
    content_type=st.sampled_from(["application/json", "text/plain", "application/cloudevents+json", "image/png", ""]),
    attributes=st.dictionaries(
        st.sampled_from(["ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "ce-subject", "ce-data", "ce-x"]),
        st.sampled_from([*VALUES, "", "%", "%ff", "%00", "email:a@b.de"]) | st.text(st.characters(codec="latin-1"), max_size=9),
    ),
)
async def test_any_request_in_binary_mode_is_taken_or_parked(body: bytes, content_type: str, attributes: dict[str, str]) -> None:
    answer, accounted = await account(CLOUD_EVENTS, body, {**attributes, "content-type": content_type})
    assert accounted == list(range(len(accounted)))
    assert answer.status == 200 or (answer.status in (400, 422) and len(accounted) == 1)


@given(body=st.binary(max_size=100))
async def test_the_sdks_metrics_are_thanked_for_whatever_they_are(body: bytes) -> None:
    assert (await send(SDK_METRICS, body, {"x-write-key": ""})).status == 200


@given(
    path=st.sampled_from(["/v1/pixel/track", "/v1/pixel/alias", "/pixel/v1/page"]),
    query=st.text(st.characters(codec="latin-1"), max_size=80) | CALL.map(lambda call: "data=" + json.dumps(call)),
)
async def test_a_pixel_is_an_image_whatever_its_address_says(path: str, query: str) -> None:
    before = count_logged()
    answer = await send(path, b"", method="GET", query=query)
    assert (answer.status, answer.body[:6]) == (200, b"GIF89a")
    assert sum(count_logged()) == sum(before) + 1, "a good key came with it: it is a touchpoint or a rejection"


@given(
    headers=st.dictionaries(
        st.sampled_from(["authorization", "x-write-key"]), st.text(st.characters(codec="latin-1"), max_size=20)
    )
)
async def test_no_header_makes_the_key_check_fall_over(headers: dict[str, str]) -> None:
    before = count_logged()
    answer = await send("/v1/track", b"{}", {"x-write-key": "", **headers})
    assert answer.status == 401
    assert count_logged() == before
