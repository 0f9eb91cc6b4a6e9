"""What people would do with the platform, from the first visit to points spent and a message read."""

import email
from typing import Any
from urllib.parse import quote

from tests.e2e.visitor import STAFF, WAIT_MS, Visitor
from tests.support.eventually import eventually
from tests.support.platform import RunningTestPlatform


def order(name: str, order_id: str, revenue: float, **changes: Any) -> dict[str, Any]:
    return {
        "name": "Order Completed",
        "occurred_at": "2026-03-01T10:00:00Z",
        "identifiers": {"user_id": name},
        "properties": {"order_id": order_id, "revenue": revenue, "currency": "EUR"},
    } | changes


async def test_a_purchase_shows_in_view_segment_and_points_as_soon_as_one_waits_for_it(visitor: Visitor, name: str) -> None:
    rule = {"all": [{"trait": "city", "eq": name}, {"did": "Order Completed", "times": {"gte": 1}}]}
    made = await visitor.command("segmentation", "/v1/segments", {"id": name, "name": "Buyers", "rule": rule})
    assert made.status_code == 201, made.text
    who = {
        "name": "",
        "kind": "identify",
        "occurred_at": "2026-03-01T09:00:00Z",
        "identifiers": {"user_id": name},
        "traits": {"city": name},
    }
    del who["name"]
    _, bought = await visitor.send(who, order(name, f"o-{name}", 49.90))
    view = await visitor.profile(f"user_id:{name}", wait_for=bought, facets=True)
    assert view["aggregates"]["orders"]["count"] == 1
    assert view["aggregates"]["orders"]["net_minor"] == {"EUR": 4990}
    assert [segment["id"] for segment in view["segments"] if segment["id"] == name] == [name]
    assert view["loyalty"]["balance"] == 49
    member = await visitor.read("loyalty", f"/v1/members/user_id:{name}", wait_for=bought)
    assert member["balance"] == 49
    memberships = await visitor.read("segmentation", f"/v1/memberships/user_id:{name}", wait_for=bought)
    assert name in [segment["id"] for segment in memberships["segments"]]
    members = await visitor.read("segmentation", f"/v1/segments/{name}/members", wait_for=bought)
    assert [item["profile_id"] for item in members["items"]] == [view["id"]]


async def test_an_anonymous_visit_becomes_the_customers_once_they_sign_in(visitor: Visitor, name: str) -> None:
    device, address = f"d-{name}", f"{name}@mail.example"
    account = {"type": "identify", "userId": name, "messageId": f"0-{name}", "traits": {"email": f"{name}@Mail.Example"}}
    visit = {"type": "page", "anonymousId": device, "name": "Home", "messageId": f"1-{name}"}
    known = (await visitor.batch(account))["accepted"][0]["id"]
    first = (await visitor.batch(visit, key="dev-browser-key"))["accepted"][0]["id"]
    customer = await visitor.profile(f"user_id:{name}", wait_for=known)
    anonymous = await visitor.profile(f"anonymous_id:{device}", wait_for=first)
    assert customer["id"] != anonymous["id"]
    signed_in = {"type": "track", "event": "Signed In", "anonymousId": device, "userId": name, "messageId": f"2-{name}"}
    second = (await visitor.batch(signed_in))["accepted"][0]["id"]
    view = await visitor.profile(f"email:{address}", wait_for=second)
    assert view["aggregates"]["web"]["page_views"] == 1
    assert {(one["kind"], one["value"]) for one in view["identifiers"]} == {
        ("anonymous_id", device),
        ("user_id", name),
        ("email", address),
    }
    gone = anonymous["id"] if view["id"] == customer["id"] else customer["id"]
    absorbed = await visitor.ask("profile", f"/v1/profiles/{gone}")
    assert absorbed.status_code == 200
    assert absorbed.json()["id"] == view["id"]
    assert absorbed.headers["content-location"] == f"/v1/profiles/{view['id']}"
    history = await visitor.read("profile", f"/v1/profiles/{view['id']}/history")
    assert history["items"], "a merge is explained"


async def test_a_refund_before_its_order_a_cancellation_and_a_second_send_change_exactly_what_they_should(
    visitor: Visitor, name: str
) -> None:
    refund = order(name, "-", 0) | {
        "name": "Order Refunded",
        "properties": {"order_id": f"a-{name}", "total": 10.00},
        "id": f"r-{name}",
    }
    await visitor.send(refund)
    first = order(name, f"a-{name}", 30.00) | {"id": f"a-{name}"}
    second = order(name, f"b-{name}", 70.00)
    cancelled = order(name, "-", 0) | {"name": "Order Cancelled", "properties": {"order_id": f"b-{name}"}}
    _, _, newest, *_ = await visitor.send(first, second, cancelled, first, refund)
    view = await visitor.profile(f"user_id:{name}", wait_for=newest, facets=True)
    orders = view["aggregates"]["orders"]
    assert (orders["count"], orders["gross_minor"], orders["refunds_minor"]) == (1, {"EUR": 3000}, {"EUR": 1000})
    assert orders["average_minor"] == {"EUR": 2000}
    assert view["loyalty"]["balance"] == 20


async def test_points_are_burnt_once_whatever_is_retried(visitor: Visitor, name: str) -> None:
    (bought,) = await visitor.send(order(name, f"o-{name}", 100))
    path = f"/v1/members/user_id:{name}"
    await visitor.read("loyalty", path, wait_for=bought, wait_ms=WAIT_MS)
    burn = {"points": 40, "reason": "voucher"}
    answers = [
        await visitor.command("loyalty", f"{path}/redemptions", burn, **{"Idempotency-Key": f"k-{name}"}) for _ in range(3)
    ]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await visitor.command("loyalty", f"{path}/redemptions", {"points": 41}, **{"Idempotency-Key": f"k-{name}"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    much = await visitor.command("loyalty", f"{path}/redemptions", {"points": 61}, **{"Idempotency-Key": f"m-{name}"})
    assert (much.status_code, much.json()["code"]) == (409, "insufficient_points")
    assert (await visitor.read("loyalty", path))["balance"] == 60
    statement = await visitor.read("loyalty", f"{path}/statement")
    assert [line["points"] for line in statement["items"]] == [-40, 100]
    await eventually(
        lambda: visitor.read("profile", f"/v1/profiles/user_id:{name}"), until=lambda view: view["loyalty"]["balance"] == 60
    )


async def test_who_enters_a_segment_with_consent_gets_one_message_and_the_way_out_works(
    visitor: Visitor, platform: RunningTestPlatform, name: str
) -> None:
    address = f"{name}@mail.example"
    rule = {"did": f"Joined {name}"}
    assert (await visitor.command("segmentation", "/v1/segments", {"id": name, "name": name, "rule": rule})).status_code == 201
    template = {"id": name, "name": name, "subject": "Hi {{ traits.first_name }}", "text": "Welcome, {{ traits.first_name }}."}
    assert (await visitor.command("engagement", "/v1/templates", template)).status_code == 201
    campaign = {"id": name, "name": name, "segment_id": name, "template_id": name}
    assert (await visitor.command("engagement", "/v1/campaigns", campaign)).status_code == 201
    allowed = {"consent": {"categoryPreferences": {"marketing": True}}}
    who = {"type": "identify", "userId": name, "traits": {"email": address, "firstName": "Ada"}, "context": allowed}
    joined = {"type": "track", "event": f"Joined {name}", "userId": name}
    await visitor.batch(who | {"messageId": f"1-{name}"}, joined | {"messageId": f"2-{name}"})
    messages = f"/v1/messages?profile={quote(f'user_id:{name}', safe='')}"
    sent = await eventually(
        lambda: visitor.client.get(f"{visitor.urls['engagement']}{messages}", headers=STAFF),
        until=lambda answer: answer.status_code == 200 and [item["state"] for item in answer.json()["items"]] == ["sent"],
    )
    assert sent.json()["items"][0]["subject"] == "Hi Ada"
    (mail,) = [
        parsed
        for path in platform.mail.rglob("*.eml")
        if (parsed := email.message_from_bytes(path.read_bytes()))["To"] == address
    ]
    link = "".join(str(mail["List-Unsubscribe"]).split()).strip("<>")
    assert (await visitor.client.get(link)).status_code == 200
    view = await visitor.read("profile", f"/v1/profiles/user_id:{name}")
    assert [word["status"] for word in view["consent"]] == ["granted"], "looking at the page changes nothing"
    assert (await visitor.client.post(link)).status_code == 200

    async def denied() -> list[str]:
        shown = await visitor.read("profile", f"/v1/profiles/user_id:{name}")
        return [word["status"] for word in shown["consent"] if word["channel"] == "email"]

    await eventually(denied, until=lambda words: words == ["denied"])
    view = await visitor.read("profile", f"/v1/profiles/user_id:{name}")
    assert view["aggregates"]["messages"]["email"]["sent"] == 1


async def test_waiting_for_what_never_comes_ends_with_a_clear_word(visitor: Visitor, name: str) -> None:
    never = "00000000-0000-8000-8000-0000000000ff"
    for service, path in (("profile", "/v1/profiles"), ("loyalty", "/v1/members"), ("segmentation", "/v1/memberships")):
        answer = await visitor.ask(service, f"{path}/user_id:{name}", wait_for=never, wait_ms="50")
        assert (answer.status_code, answer.json()["code"]) == (504, "not_yet_visible"), service


async def test_each_service_says_how_it_is_and_what_it_can(visitor: Visitor) -> None:
    for service, url in visitor.urls.items():
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            answer = await visitor.client.get(f"{url}{path}")
            assert answer.status_code == 200, f"{service}{path}"
        assert (await visitor.client.get(f"{url}/")).status_code in {200, 401}, f"{service}/"
        refused = await visitor.client.get(f"{url}/v1/nowhere")
        assert refused.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code", "trace_id"} <= refused.json().keys()


async def test_staff_routes_want_a_key(visitor: Visitor, name: str) -> None:
    for service, path in (
        ("profile", f"/v1/profiles/user_id:{name}"),
        ("segmentation", "/v1/segments"),
        ("engagement", "/v1/campaigns"),
        ("loyalty", f"/v1/members/user_id:{name}"),
        ("ingest", "/v1/sources"),
    ):
        answer = await visitor.client.get(f"{visitor.urls[service]}{path}")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), service


async def test_a_wrong_merge_is_undone_everywhere_and_a_right_one_joins_everything(visitor: Visitor, name: str) -> None:
    one, other, address = name, f"x-{name}", f"{name}@mail.example"
    rule = {"did": f"Toured {name}", "times": {"gte": 2}}
    made = await visitor.command("segmentation", "/v1/segments", {"id": name, "name": "Tourists", "rule": rule})
    assert made.status_code == 201, made.text
    toured = {"name": f"Toured {name}", "occurred_at": "2026-03-02T10:00:00Z"}
    mail = {"identifiers": {"email": address}}
    _, first = await visitor.send(order(one, f"a-{name}", 30.00), toured | {"identifiers": {"user_id": one}})
    _, second = await visitor.send(order(other, f"b-{name}", 12.00) | mail, toured | mail)
    before = await visitor.profile(f"user_id:{one}", wait_for=first, facets=True)
    apart = await visitor.profile(f"email:{address}", wait_for=second, facets=True)
    assert [shown(view, name) for view in (before, apart)] == [(30, False, {"EUR": 3000}), (12, False, {"EUR": 1200})]
    joined = await visitor.command(
        "profile", f"/v1/profiles/user_id:{one}/merge", {"other": f"email:{address}", "reason": "test"}
    )
    assert joined.status_code == 200, joined.text
    merged = await visitor.profile(f"user_id:{one}", wait_for=first, facets=True)
    assert shown(merged, name) == (42, True, {"EUR": 4200})
    member = await visitor.read("loyalty", f"/v1/members/email:{quote(address)}")
    assert member["balance"] == 42
    parted = await visitor.command(
        "profile",
        f"/v1/profiles/user_id:{one}/split",
        {"identifier": {"kind": "email", "value": address}, "reason": "two people after all"},
    )
    assert parted.status_code == 200, parted.text
    views = [await visitor.profile(ref, wait_for=first, facets=True) for ref in (f"user_id:{one}", f"email:{address}")]
    assert [shown(view, name) for view in views] == [(30, False, {"EUR": 3000}), (12, False, {"EUR": 1200})]
    assert [view["id"] for view in views] == [before["id"], apart["id"]]
    for ref, view, points in ((f"user_id:{one}", before, 30), (f"email:{address}", apart, 12)):
        quoted = quote(ref, safe="")
        assert (await visitor.read("loyalty", f"/v1/members/{quoted}"))["balance"] == points
        memberships = await visitor.read("segmentation", f"/v1/memberships/{quoted}")
        assert (memberships["profile_id"], [one["id"] for one in memberships["segments"] if one["id"] == name]) == (
            view["id"],
            [],
        )
        timeline = await visitor.read("profile", f"/v1/profiles/{quoted}/timeline")
        assert sorted(item["name"] for item in timeline["items"]) == ["Order Completed", f"Toured {name}"]
        history = await visitor.read("profile", f"/v1/profiles/{quoted}/history")
        assert [item["kind"] for item in history["items"]] == ["split", "merge"]


def shown(view: dict[str, Any], segment: str) -> tuple[int, bool, dict[str, int]]:
    """Points, whether in the segment, and money: what the services say of a customer."""
    inside = segment in [one["id"] for one in view["segments"]]
    return view["loyalty"]["balance"], inside, view["aggregates"]["orders"]["net_minor"]
