"""Search, many profiles at once, and all of them as a stream, on real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from libs.events.touchpoints import Identifier
from libs.kit.db import Database
from libs.kit.http import Message, get_entry
from services.profile.api.hot import stream_views
from tests.integration.profile.driving import (
    KEY,
    make_identifier,
    make_identify,
    make_touchpoint,
)
from tests.integration.profile.running import (
    READ_KEY,
    Service,
    run_service,
)
from tests.support.eventually import eventually


async def test_search_finds_by_identifier_and_by_traits_exactly(service: Service) -> None:
    await service.send(make_identify(1, "u1", "e1", country="DE", plan="gold", age=40))
    await service.send(make_identify(2, "u2", country="DE", plan="free"), last := make_identify(3, "u3", country="FR"))
    await service.view("user_id:u3", last)
    await service.view("user_id:u2", make_identify(2, "u2"))

    async def found(**query: str) -> list[str]:
        answer = await service.client.get("/v1/profiles", params=query)
        return sorted(item["identifiers"][0]["value"] for item in answer.json()["items"])

    assert await found(**{"trait.country": "DE"}) == ["u1", "u2"]
    assert await found(**{"trait.country": "DE", "trait.plan": "gold"}) == ["u1"]
    assert await found(**{"trait.age": "40"}) == ["u1"]
    assert await found(**{"trait.country": "D"}) == []
    assert await found(q="e1") == ["u1"]
    assert await found(q="user_id:u2") == ["u2"]
    assert await found(q="u2", **{"trait.plan": "gold"}) == []
    assert await found() == ["u1", "u2", "u3"]
    first = (await service.get("/v1/profiles", limit=2)).json()
    rest = (await service.get("/v1/profiles", limit=2, cursor=first["next_cursor"])).json()
    assert len(first["items"]) + len(rest["items"]) == 3


async def test_many_at_once_and_all_as_a_stream(service: Service) -> None:
    last = make_touchpoint(9, "u9")
    await service.send(*[make_touchpoint(number, f"u{number}") for number in range(9)], last)
    for number in range(10):
        await service.view(f"user_id:u{number}", make_touchpoint(number, f"u{number}"))
    answer = await service.client.post(
        "/v1/profiles/batch", json={"refs": ["user_id:u1", "user_id:nobody", "nonsense", "user_id:u2"]}
    )
    items = answer.json()["items"]
    assert [item["profile"] and item["profile"]["identifiers"][0]["value"] for item in items] == ["u1", None, None, "u2"]
    most = [f"user_id:u{number % 10}" for number in range(500)]
    full = await service.client.post("/v1/profiles/batch", json={"refs": most})
    assert [item["profile"]["identifiers"][0]["value"] for item in full.json()["items"]] == [f"u{one % 10}" for one in range(500)]
    for refs in ([], [*most, "user_id:u1"]):
        assert (await service.client.post("/v1/profiles/batch", json={"refs": refs})).status_code == 422
    lines = (await service.get("/v1/profiles/stream")).text.splitlines()
    ids = [msgspec.json.decode(line)["id"] for line in lines]
    assert (len(ids), ids) == (10, sorted(ids))
    rest = (await service.get("/v1/profiles/stream", after=ids[6])).text.splitlines()
    assert rest == lines[7:]


async def test_search_finds_by_the_beginnings_of_names_page_by_page(service: Service) -> None:
    phone = Identifier("phone", "+4930901820", KEY.fragment_id("phone", "+4930901820"))
    people = [
        make_identify(1, "u1", "e1", firstName="Ada", lastName="Lovelace", country="GB"),
        make_identify(2, "u2", name="Ada Byron-King", country="DE"),
        make_identify(3, "u3", first_name="ADA", last_name="Lovage", country="DE"),
        make_identify(4, "u4", firstName="Adam", lastName="Wolfeschlegelsteinhausen"),
        msgspec.structs.replace(make_identify(5, "u5", nickname="Ada"), identifiers=(make_identifier("u5"), phone)),
        make_identify(6, "u6", firstName="Élodie"),
    ]
    await service.send(*people)
    for number, one in enumerate(people, 1):
        await service.view(f"user_id:u{number}", one)

    async def found(q: str, **query: str) -> list[str]:
        names, cursor = [], {}
        while True:
            answer = (await service.client.get("/v1/profiles", params={"q": q, "limit": "2", **query, **cursor})).json()
            assert len(answer["items"]) <= 2
            ids = [item["id"] for item in answer["items"]]
            assert ids == sorted(ids)
            names += [one["value"] for item in answer["items"] for one in item["identifiers"] if one["kind"] == "user_id"]
            if answer["next_cursor"] is None:
                return sorted(names)
            cursor = {"cursor": answer["next_cursor"]}

    assert await found("ada") == ["u1", "u2", "u3", "u4"]
    assert await found("Lov aDa") == ["u1", "u3"]
    assert await found("king") == ["u2"]
    assert await found("da") == []
    assert await found("a") == []
    assert await found("wolfeschlegelstein") == ["u4"]
    assert await found("wolfeschlegelstern") == []
    assert await found("e\u0301LO") == ["u6"]
    assert await found("ada", **{"trait.country": "DE"}) == ["u2", "u3"]
    assert await found("e1") == ["u1"]
    assert await found("030 901820") == ["u5"]
    renamed = make_identify(9, "u1", firstName=None, lastName="King")
    await service.send(renamed)
    await service.view("user_id:u1", renamed)
    assert await found("lov") == ["u3"]
    assert await found("kin") == ["u1", "u2"]


async def drive_stream(service: Service, when: Callable[[int], Awaitable[None]], gone: asyncio.Event | None = None) -> list[Any]:
    """What a reader of the stream gets who does something before taking each piece, until he is gone."""
    pieces: list[bytes] = []
    taken = 0
    requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal taken
        await when(taken)
        taken += 1
        pieces.append(message.get("body", b""))

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/profiles/stream",
        "raw_path": b"/v1/profiles/stream",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {READ_KEY}".encode())],
    }
    await get_entry(service.app)(scope, receive, send)
    return [msgspec.json.decode(line) for line in b"".join(pieces).splitlines()]


async def test_a_stream_shows_one_moment_whatever_changes_meanwhile(service: Service) -> None:
    many = [make_touchpoint(number, f"u{number}") for number in range(600)]
    await service.send(*many)

    async def read() -> list[str]:
        return (await service.get("/v1/profiles/stream")).text.splitlines()

    before = await eventually(read, until=lambda lines: len(lines) == 600)

    async def change(piece: int) -> None:
        if piece == 1:
            later = [make_touchpoint(1000 + number, f"u{number}") for number in range(601)]
            await service.send(*later)
            for one in later[::40]:
                await service.get("/v1/profiles", limit=1, wait_for=str(one.id))

    streamed = await drive_stream(service, change)
    assert streamed == [msgspec.json.decode(line) for line in before]
    answer = await service.get("/v1/profiles/stream")
    assert len(answer.text.splitlines()) == 601
    assert answer.headers["rapport-snapshot-at"].endswith("Z")


async def test_no_more_than_two_streams_run_at_once(service: Service) -> None:
    await service.send(sent := make_touchpoint(1, "u1"))
    await service.view("user_id:u1", sent)
    refused: list[tuple[int, str]] = []

    async def nothing(_piece: int) -> None:
        return

    async def ask(piece: int) -> None:
        if piece == 0:
            answer = await service.get("/v1/profiles/stream")
            refused.append((answer.status_code, answer.json()["code"]))

    async def second(piece: int) -> None:
        if piece == 0:
            assert len(await drive_stream(service, ask)) == 1

    assert len(await drive_stream(service, second)) == 1
    assert refused == [(429, "too_many_streams")]
    assert len(await drive_stream(service, nothing)) == 1


async def test_the_moment_is_not_held_for_a_reader_who_stopped_reading(service: Service) -> None:
    await service.send(sent := make_touchpoint(1, "u1"))
    await service.view("user_id:u1", sent)
    begun: list[str] = []

    async def send(message: Message) -> None:
        begun.append(message["type"])
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with service.database.snapshot() as snapshot:
            await stream_views(snapshot, UUID(int=0), send, 0.05)
    assert begun == ["http.response.start", "http.response.body"]


async def test_a_stream_ends_when_its_reader_goes_away_and_gives_its_place_back(service: Service) -> None:
    """As behind a real server: what is sent to somebody who went away is taken without a word."""
    await service.send(*(make_touchpoint(number, f"u{number}") for number in range(1600)))

    async def read() -> int:
        return len((await service.get("/v1/profiles/stream")).text.splitlines())

    await eventually(read, until=lambda lines: lines == 1600)
    for _ in range(3):
        gone = asyncio.Event()

        async def leave(piece: int, gone: asyncio.Event = gone) -> None:
            if piece == 1:
                gone.set()

        assert 500 <= len(await drive_stream(service, leave, gone)) < 1600
    await see_no_snapshot(service)
    assert await read() == 1600


async def test_a_reader_who_goes_away_does_not_wait_for_what_is_being_sent(service: Service) -> None:
    await service.send(sent := make_touchpoint(1, "u1"))
    await service.view("user_id:u1", sent)
    gone = asyncio.Event()

    async def hang(piece: int) -> None:
        if piece == 1:
            gone.set()
            await asyncio.Event().wait()

    assert await asyncio.wait_for(drive_stream(service, hang, gone), 10) == []
    await see_no_snapshot(service)


async def test_a_stream_that_takes_too_long_is_cut_and_gives_its_place_back(database: Database) -> None:
    async with run_service(database, longest_stream_s=0.5) as service:
        await service.send(sent := make_touchpoint(1, "u1"))
        await service.view("user_id:u1", sent)

        async def hang(piece: int) -> None:
            if piece == 1:
                await asyncio.Event().wait()

        for _ in range(3):
            streaming = asyncio.create_task(drive_stream(service, hang))
            done, _ = await asyncio.wait([streaming], timeout=10)
            assert done, "it is still held"
            assert isinstance(streaming.exception(), TimeoutError)
        await see_no_snapshot(service)


async def see_no_snapshot(service: Service) -> None:
    """No connection is left on which a transaction is open and waits for us."""

    async def count() -> int:
        async with service.database.connection() as connection:
            open_ones: int = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
            )
        return open_ones

    await eventually(count, until=lambda open_ones: open_ones == 0)
