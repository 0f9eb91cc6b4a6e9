"""Leads over HTTP: moves that are allowed, hand-overs, and touchpoints, which no rule binds."""

from typing import Any

import msgspec
from msgspec import Raw

from tests.integration.profile.driving import make_touchpoint
from tests.integration.profile.running import Service

PATH = "/v1/profiles/user_id:u1/lead/stage"


def moved(number: int, minute: float = 0, **said: Any) -> Any:
    properties = Raw(msgspec.json.encode(said))
    return make_touchpoint(number, "u1", name="Lead Stage Changed", properties=properties, minute=minute)


async def start(service: Service, **said: Any) -> None:
    sent = moved(1, **said)
    await service.send(sent)
    await service.view("user_id:u1", sent)


async def test_a_command_moves_only_where_the_list_of_stages_allows(service: Service) -> None:
    await start(service)
    refused = await service.client.post(PATH, json={"stage": "sales-qualified"})
    assert (refused.status_code, refused.json()["code"]) == (409, "lead_move_not_allowed")
    assert refused.json()["errors"] == [{"pointer": "#/stage", "detail": "must be one of lead, customer"}]
    for stage in ("lead", "lead", "sales-qualified", "customer"):
        answer = await service.client.post(PATH, json={"stage": stage})
        assert (answer.status_code, answer.json()["lead"]["stage"]) == (200, stage)
    assert (await service.client.post(PATH, json={"stage": "lead"})).status_code == 409


async def test_a_stage_that_is_in_no_list_is_none(service: Service) -> None:
    await start(service)
    answer = await service.client.post(PATH, json={"stage": "wizard"})
    assert (answer.status_code, answer.json()["code"]) == (422, "lead_stage_unknown")
    assert "sales-qualified" in answer.json()["errors"][0]["detail"]


async def test_a_touchpoint_goes_anywhere_and_from_a_stage_of_others_a_command_may_go_on(service: Service) -> None:
    await start(service, stage="negotiating")
    assert (await service.get("/v1/profiles/user_id:u1")).json()["lead"]["stage"] == "negotiating"
    assert (await service.client.post(PATH, json={"stage": "sales-qualified"})).status_code == 200


async def test_a_lead_is_handed_over_alone_or_with_its_stage(service: Service) -> None:
    await start(service)
    first = await service.client.post(PATH, json={"stage": "lead", "owner": "grace@shop.example"})
    assert first.json()["lead"]["owner"] == "grace@shop.example"
    second = await service.client.post(PATH, json={"owner": "alan@shop.example", "note": "Wants an offer"})
    lead = second.json()["lead"]
    assert (lead["stage"], lead["owner"]) == ("lead", "alan@shop.example")
    handover = lead["handovers"][0]
    assert (handover["from"], handover["to"], handover["note"]) == ("grace@shop.example", "alan@shop.example", "Wants an offer")
    third = await service.client.post(PATH, json={"owner": None})
    assert third.json()["lead"]["owner"] is None
    assert len(third.json()["lead"]["handovers"]) == 3


async def test_a_command_that_says_nothing_is_refused(service: Service) -> None:
    await start(service)
    for body in ({}, {"note": "hello"}, {"owner": ""}, {"stage": "lead", "rank": 1}):
        assert (await service.client.post(PATH, json=body)).status_code == 422
