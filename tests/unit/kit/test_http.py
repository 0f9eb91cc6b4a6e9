import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import unquote

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query
from starlette.requests import ClientDisconnect

from libs.kit.auth import FixedAccess, Principal
from libs.kit.clock import FakeClock
from libs.kit.errors import Conflict, FieldError, NotYetVisible, TooManyRequests
from libs.kit.http import (
    Health,
    Receive,
    Scope,
    Send,
    StrictModel,
    add_raw_route,
    authorise_scope,
    create_app,
    get_entry,
    read_body,
    requires,
    send_json,
)
from libs.kit.trace import current_trace

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = {"authorization": "Bearer reader"}


class Order(StrictModel):
    email: str
    amounts: tuple[int, ...] = ()


def build_app(health: Health | None = None) -> FastAPI:
    principals = {"reader": Principal("reader", frozenset({"orders:read"})), "nobody": Principal("nobody", frozenset())}
    access = FixedAccess(principals={**principals, "all": Principal("all", frozenset({"*"}))})
    app = create_app(service="shop", title="Shop", description="", health=health or Health(), access=access, clock=FakeClock())

    @app.post("/v1/orders/{order_id}")
    async def post_order(
        order_id: int,
        order: Order,
        principal: Annotated[Principal, requires("orders:read")],
        limit: Annotated[int, Query(le=5)] = 3,
    ) -> dict[str, Any]:
        return {"id": order_id, "amounts": order.amounts, "by": principal.name, "limit": limit}

    @app.get("/v1/texts/{text}")
    async def get_text(text: str) -> dict[str, Any]:
        return {"text": text}

    @app.get("/v1/trace")
    async def get_trace() -> dict[str, Any]:
        trace = current_trace()
        return {"trace_id": trace.trace_id if trace else None}

    for name, error in (
        ("conflict", Conflict("It is so already.", errors=[FieldError("#/state", "is final")])),
        ("busy", TooManyRequests("Slower.", headers={"Retry-After": "7"})),
        ("not-yet", NotYetVisible("Wait.")),
        ("bug", ValueError("hush")),
        ("teapot", HTTPException(418, "short and stout")),
        ("deadlock", asyncpg.DeadlockDetectedError("hush")),
        ("database-away", ConnectionRefusedError("hush")),
    ):
        add_failing_route(app, name, error)
    return app


def add_failing_route(app: FastAPI, name: str, error: Exception) -> None:
    @app.get(f"/v1/fail/{name}")
    async def fail() -> None:
        raise error


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app()), base_url="http://shop") as opened:
        yield opened


async def test_a_good_request_is_answered(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/orders/7", json={"email": "a@b.c", "amounts": [1]}, headers=KEY)
    assert (answer.status_code, answer.json()) == (200, {"id": 7, "amounts": [1], "by": "reader", "limit": 3})


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("/v1/orders/7", {"email": "a", "colour": "red"}, ["#/colour"]),
        ("/v1/orders/7", {}, ["#/email"]),
        ("/v1/orders/7", {"email": "a", "amounts": [1, "x"]}, ["#/amounts/1"]),
        ("/v1/orders/7", {"email": "a", "a/b~c": 1}, ["#/a~1b~0c"]),
        ("/v1/orders/7?limit=9", {"email": "a"}, ["#/query/limit"]),
        ("/v1/orders/seven", {"email": "a"}, ["#/path/order_id"]),
        ("/v1/orders/7", [], ["#"]),
    ],
)
async def test_what_is_invalid_is_pointed_at(client: httpx.AsyncClient, path: str, body: object, pointers: list[str]) -> None:
    answer = await client.post(path, json=body, headers=KEY)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == "urn:rapport:problem:invalid"
    assert (problem["code"], problem["status"]) == ("invalid", 422)
    assert [error["pointer"] for error in problem["errors"]] == pointers


async def test_the_values_of_an_invalid_request_are_not_echoed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/orders/7", json={"email": {"hush": "hush"}, "amounts": "hush"}, headers=KEY)
    assert "hush" not in answer.text


async def test_malformed_json_is_a_bad_request(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/orders/7", content=b'{"email":', headers={**KEY, "content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic cmVhZGVyOg=="}, {"authorization": "Bearer "}]
)
async def test_without_a_valid_key_it_is_401(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/v1/orders/7", json={"email": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_without_the_scope_it_is_403(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/orders/7", json={"email": "a"}, headers={"authorization": "Bearer nobody"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_the_star_scope_allows_everything(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/orders/7", json={"email": "a"}, headers={"authorization": "bearer all"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("conflict", 409, "conflict"),
        ("busy", 429, "too_many_requests"),
        ("not-yet", 504, "not_yet_visible"),
        ("bug", 500, "internal"),
        ("teapot", 418, "i_m_a_teapot"),
        ("deadlock", 503, "unavailable"),
        ("database-away", 503, "unavailable"),
    ],
)
async def test_every_failure_is_a_problem_that_tells_no_cause(
    client: httpx.AsyncClient, name: str, status: int, code: str
) -> None:
    answer = await client.get(f"/v1/fail/{name}", headers={"traceparent": TRACEPARENT})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["trace_id"] == TRACEPARENT[3:35]
    assert "hush" not in answer.text


async def test_headers_and_field_errors_of_an_error_are_sent(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/fail/busy")).headers["retry-after"] == "7"
    assert (await client.get("/v1/fail/deadlock")).headers["retry-after"] == "1"
    assert (await client.get("/v1/fail/conflict")).json()["errors"] == [{"pointer": "#/state", "detail": "is final"}]


async def test_no_such_address_and_no_such_method_are_problems(client: httpx.AsyncClient) -> None:
    lost = await client.get("/v1/nowhere")
    assert (lost.status_code, lost.json()["code"]) == (404, "not_found")
    wrong = await client.put("/v1/trace")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "GET")


async def test_the_callers_trace_goes_on(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/trace", headers={"traceparent": TRACEPARENT})
    assert answer.json() == {"trace_id": TRACEPARENT[3:35]}
    assert answer.headers["traceresponse"].startswith(TRACEPARENT[:36])


async def test_without_a_trace_each_request_starts_one(client: httpx.AsyncClient) -> None:
    traces = {(await client.get("/v1/trace")).json()["trace_id"] for _ in range(3)}
    assert len(traces) == 3


async def test_requests_are_measured_by_template_never_by_path(client: httpx.AsyncClient) -> None:
    await client.post("/v1/orders/424242", json={"email": "a"}, headers=KEY)
    await client.get("/v1/unknown/424242")
    await client.request("BREW", "/v1/trace")
    metrics = (await client.get("/metrics")).text
    assert 'rapport_http_request_duration_seconds_count{method="POST",route="/v1/orders/{order_id}",status="200"}' in metrics
    assert 'route="unmatched",status="404"' in metrics
    assert "424242" not in metrics
    assert "BREW" not in metrics


async def test_live_says_so_and_ready_runs_the_checks() -> None:
    async def pass_check() -> None: ...

    async def fail_check() -> None:
        raise ConnectionRefusedError("hush")

    async def hang_check() -> None:
        await asyncio.Event().wait()

    health = Health(timeout_s=0.05)
    health.add("good", pass_check)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app(health)), base_url="http://shop") as client:
        assert (await client.get("/readyz")).json() == {
            "status": "ready",
            "failing": [],
            "checks": {"good": "ok"},
            "pid": os.getpid(),
        }
        health.add("kafka", fail_check)
        health.add("database", hang_check)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["failing"]) == (503, ["database", "kafka"])
        assert "hush" not in answer.text
        assert (await client.get("/healthz")).status_code == 200


def build_raw_app() -> FastAPI:
    app = build_app()

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        authorise_scope(scope, app.state.access, "orders:read")
        body = await read_body(scope, receive, 10)
        await send_json(send, 200, b'{"ref":"%s","size":%d}' % (scope["path_params"]["ref"].encode(), len(body)))

    operation = {
        "summary": "Echo",
        "responses": {
            "200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Echo"}}}}
        },
        "components": {"Echo": {"type": "object"}},
    }
    add_raw_route(app, "/v1/raw/{ref}", ["post"], echo, operation)

    async def vanish(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ClientDisconnect

    add_raw_route(app, "/v1/vanish", ["GET"], vanish)
    return app


@pytest.fixture
async def raw_client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build_raw_app()), base_url="http://shop") as opened:
        yield opened


@pytest.mark.parametrize(
    ("sent", "ref"),
    [
        ("u1", "u1"),
        ("user_id:a%2Fb", "user_id:a/b"),
        ("email:ada%40example.com", "email:ada@example.com"),
        ("%C3%A9", "é"),
        ("a%252F", "a%2F"),
    ],
)
async def test_a_raw_route_gets_its_parameters_decoded_once(raw_client: httpx.AsyncClient, sent: str, ref: str) -> None:
    answer = await raw_client.post(f"/v1/raw/{sent}", content=b"12345", headers=KEY)
    assert answer.json() == {"ref": ref, "size": 5}


@pytest.mark.parametrize("sent", ["email:ada%40example.com", "user_id:a%2Fb", "user_id:a%2fb%25"])
async def test_an_encoded_slash_belongs_to_the_value_in_framework_routes_too(sent: str) -> None:
    app = build_app()

    @app.get("/v1/things/{ref}/parts/{part}")
    async def get_part(ref: str, part: str) -> dict[str, str]:
        return {"ref": ref, "part": part}

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        answer = await client.get(f"/v1/things/{sent}/parts/%C3%A9")
        assert answer.json() == {"ref": unquote(sent), "part": "é"}
        assert (await client.get(f"/v1/things/{sent}/nothing/x")).status_code == 404


@pytest.mark.parametrize("sent", ["a%2Fb", "%2F", "%2fa%2F%2Fb%2F", "a%2F..%2Fb", "a%252Fb%2F%C3%A9"])
async def test_an_encoded_slash_belongs_to_the_last_value_too_through_the_entry(sent: str) -> None:
    app = build_app()

    @app.get("/v1/things/{ref}")
    async def get_thing(ref: str) -> dict[str, str]:
        return {"ref": ref}

    async with httpx.AsyncClient(transport=httpx.ASGITransport(get_entry(app)), base_url="http://shop") as client:
        assert (await client.get(f"/v1/things/{sent}")).json() == {"ref": unquote(sent)}
        assert (await client.get(f"/v1/things/{sent}/x")).status_code == 404


async def test_the_entry_answers_as_the_app_does() -> None:
    app = build_raw_app()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(get_entry(app)), base_url="http://shop", headers=KEY) as client:
        assert (await client.post("/v1/raw/a%2Fb", content=b"1")).json() == {"ref": "a/b", "size": 1}
        assert (await client.get("/v1/trace", headers={"traceparent": TRACEPARENT})).json() == {"trace_id": TRACEPARENT[3:35]}
        failed = await client.get("/v1/fail/bug")
        assert (failed.status_code, failed.json()["code"]) == (500, "internal")
        assert failed.headers.get_list("traceresponse") == [failed.headers["traceresponse"]]


async def test_a_raw_route_fails_like_any_other(raw_client: httpx.AsyncClient) -> None:
    assert (await raw_client.post("/v1/raw/x")).json()["code"] == "unauthorized"
    assert (await raw_client.post("/v1/raw/x", headers={"authorization": "Bearer nobody"})).json()["code"] == "forbidden"
    assert (await raw_client.post("/v1/raw/x", content=b"x" * 11, headers=KEY)).json()["code"] == "payload_too_large"
    wrong = await raw_client.get("/v1/raw/x")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_raw_routes_are_documented_and_all_answers_may_be_problems(raw_client: httpx.AsyncClient) -> None:
    document = (await raw_client.get("/openapi.json")).json()
    assert document["paths"]["/v1/raw/{ref}"]["post"]["summary"] == "Echo"
    assert {"Echo", "Problem"} <= set(document["components"]["schemas"])
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert all("application/problem+json" in operation["responses"]["default"]["content"] for operation in operations)
    assert {"/healthz", "/readyz", "/metrics"} <= set(document["paths"])
    assert "HTTPValidationError" not in document["components"]["schemas"]


def make_scope(headers: list[tuple[bytes, bytes]]) -> Scope:
    return {"type": "http", "method": "POST", "path": "/", "headers": headers}


def make_receive(*chunks: bytes) -> Receive:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting)

    return receive


async def test_a_body_in_pieces_is_put_together() -> None:
    assert await read_body(make_scope([]), make_receive(b"ab", b"", b"cd"), 4) == b"abcd"


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")], [(b"content-length", b"junk")]])
async def test_a_body_over_the_limit_is_refused_whatever_it_declared(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Exception, match="larger than 4 bytes"):
        await read_body(make_scope(headers), make_receive(b"abc", b"de"), 4)


async def test_a_client_that_goes_on_and_on_is_cut_off() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    with pytest.raises(Exception, match="larger") as caught:
        await read_body(make_scope([]), receive, 1000)
    assert caught.value.headers == {"Connection": "close"}  # type: ignore[attr-defined]


async def test_an_endpoint_that_answers_with_one_and_the_same_message_never_shows_anothers_trace() -> None:
    app = build_app()
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    add_raw_route(app, "/v1/same", ["GET"], answer)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test") as client:
        answers = [await client.get("/v1/same") for _ in range(3)]
    assert [len(one.headers.get_list("traceresponse")) for one in answers] == [1, 1, 1]
    assert len({one.headers["traceresponse"] for one in answers}) == 3
    assert start["headers"] == [(b"content-length", b"0")]


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/texts/%00", 404), ("/v1/texts/a%00b", 404), ("/v1/texts/a?q=%00", 422), ("/v1/texts/a", 200)]
)
async def test_nothing_has_a_nul_in_its_name_and_no_query_holds_one(client: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await client.get(path)).status_code == status


@pytest.mark.parametrize(
    "body", [b'{"email":"a\\u0000b"}', b'{"email":"\\ud800"}', b'{"email":"a","amounts":[1e400]}', b'{"\\u0000":1}']
)
async def test_a_body_that_cannot_be_stored_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/v1/orders/1", content=body, headers=KEY | {"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
