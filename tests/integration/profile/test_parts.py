"""Parts of a profile over HTTP: some members of the view, identifiers, accounts, and a timeline narrowed by text."""

from typing import Any

import msgspec
from msgspec import Raw

from tests.integration.profile.driving import make_identify, make_touchpoint
from tests.integration.profile.running import Service

PATH = "/v1/profiles/user_id:u1"


async def fill(service: Service) -> None:
    group = make_touchpoint(2, "u1", kind="group", name="Grouped", group_id="acme", traits=Raw(b'{"name": "Acme"}'))
    await service.send(make_identify(1, "u1", "e1", plan="gold"), group)
    await service.view("user_id:u1", group)


async def test_a_view_may_be_asked_for_in_part(service: Service) -> None:
    await fill(service)
    whole = (await service.get(PATH)).json()
    part = await service.get(PATH, include="traits,consent")
    assert part.json() == {
        name: whole[name] for name in ("id", "version", "first_seen_at", "last_seen_at", "updated_at", "traits", "consent")
    }
    assert part.headers["ETag"] == (await service.get(PATH)).headers["ETag"]
    refused = await service.get(PATH, include="traits,shoe_size")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/query/include")


async def test_identifiers_and_accounts_are_lists_of_their_own(service: Service) -> None:
    await fill(service)
    whole = (await service.get(PATH)).json()
    for name in ("identifiers", "accounts"):
        answer = await service.get(f"{PATH}/{name}")
        assert answer.json() == {"items": whole[name], "next_cursor": None}
        assert "ETag" not in answer.headers
    assert [one["id"] for one in whole["accounts"]] == ["acme"]
    assert (await service.get("/v1/profiles/user_id:nobody/identifiers")).status_code == 404


async def test_a_timeline_is_narrowed_by_the_text_of_its_touchpoints(service: Service) -> None:
    def wrote(number: int, **properties: Any) -> Any:
        return make_touchpoint(number, "u1", name="Support Ticket Opened", properties=Raw(msgspec.json.encode(properties)))

    await service.send(wrote(1, body="The PARCEL is late"), wrote(2, subject="Invoice"), wrote(3, body="100% late_fee"))
    await service.view("user_id:u1", wrote(3))

    async def found(text: str) -> list[str]:
        return [item["message_id"] for item in (await service.get(f"{PATH}/timeline", text=text)).json()["items"]]

    assert await found("parcel") == ["1"]
    assert await found("LATE") == ["3", "1"]
    assert (await found("100%"), await found("late%"), await found("e_f")) == (["3"], [], ["3"])
    assert (await service.get(f"{PATH}/timeline", text="")).status_code == 422
