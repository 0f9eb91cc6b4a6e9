"""The history of consent over HTTP, and what holds for a purpose and a channel."""

from typing import Any

from libs.events.touchpoints import ConsentStatement
from tests.integration.profile.driving import make_identify, make_touchpoint
from tests.integration.profile.running import Service

PATH = "/v1/profiles/user_id:u1/consent"


def said(number: int, *words: ConsentStatement, **fields: Any) -> Any:
    return make_touchpoint(number, "u1", name="Consent Changed", consent=words, **fields)


async def test_every_word_stays_in_the_history_with_its_source_wording_and_proof(service: Service) -> None:
    first = said(1, ConsentStatement("marketing", "email", "granted", "v1", "form 17"), source_id="shop")
    await service.send(make_touchpoint(7, "u1"), first, said(2, ConsentStatement("marketing", "*", "denied")))
    await service.send(said(3, ConsentStatement("research", "email", "granted")))
    await service.view("user_id:u1", said(3))
    body = {"purpose": "marketing", "channel": "email", "status": "granted", "wording_version": "v2", "proof": "call 4"}
    assert (await service.client.put(PATH, json=body)).status_code == 200
    page = (await service.get(PATH)).json()
    assert [(item["source"], item["words"]) for item in page["items"]] == [
        ("profile-api", [body]),
        ("test", [{"purpose": "research", "channel": "email", "status": "granted"}]),
        ("test", [{"purpose": "marketing", "channel": "*", "status": "denied"}]),
        ("shop", [{**body, "wording_version": "v1", "proof": "form 17"}]),
    ]
    assert page["items"][-1]["touchpoint_id"] == str(first.id)
    assert page["effective"] is None
    entry = (await service.get("/v1/profiles/user_id:u1")).json()["consent"][0]
    assert entry == {**body, "at": entry["at"], "source": "profile-api"}


async def test_the_history_is_paged_and_narrowed_to_a_purpose_or_channel(service: Service) -> None:
    words = [ConsentStatement("marketing" if n % 2 else "research", "email", "granted", str(n)) for n in range(5)]
    await service.send(*(said(n, word) for n, word in enumerate(words)))
    await service.view("user_id:u1", said(4))
    found, cursor = [], ""
    while True:
        page = (await service.client.get(f"{PATH}?limit=2{cursor}")).json()
        found += [word["wording_version"] for item in page["items"] for word in item["words"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == ["4", "3", "2", "1", "0"]
    narrowed = (await service.client.get(f"{PATH}?purpose=marketing")).json()["items"]
    assert [word["wording_version"] for item in narrowed for word in item["words"]] == ["3", "1"]


async def test_what_holds_is_the_latest_word_or_what_silence_means_there(service: Service) -> None:
    await service.send(make_identify(1, "u1", country="US"), said(2, ConsentStatement("marketing", "*", "denied")))
    await service.view("user_id:u1", said(2))
    decided = (await service.client.get(f"{PATH}?purpose=marketing&channel=email")).json()["effective"]
    assert (decided["status"], decided["because"], decided["word"]["channel"]) == ("denied", "word", "*")
    silent = (await service.client.get(f"{PATH}?purpose=research&channel=email")).json()["effective"]
    assert (silent["status"], silent["because"], silent["country"], silent["word"]) == ("granted", "default", "US", None)
    await service.send(make_identify(3, "u1", country="DE"))
    await service.view("user_id:u1", make_identify(3, "u1"))
    silent = (await service.client.get(f"{PATH}?purpose=research&channel=email")).json()["effective"]
    assert (silent["status"], silent["country"]) == ("denied", "*")


async def test_the_history_follows_a_merge_and_a_split(service: Service) -> None:
    await service.send(said(1, ConsentStatement("marketing", "email", "granted")))
    await service.send(make_touchpoint(2, "e1", consent=(ConsentStatement("marketing", "email", "denied"),)))
    await service.send(make_touchpoint(3, "u1", "e1"))
    await service.view("user_id:u1", make_touchpoint(3))
    assert len((await service.get(PATH)).json()["items"]) == 2
    split = {"identifier": {"kind": "email", "value": "e1"}, "reason": "two persons"}
    assert (await service.client.post("/v1/profiles/user_id:u1/split", json=split)).status_code == 200
    (item,) = (await service.get(PATH)).json()["items"]
    assert item["words"][0]["status"] == "granted"
