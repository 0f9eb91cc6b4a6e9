"""Cursors that no list gave."""

import base64
import json
from uuid import uuid4

import pytest

from tests.integration.profile.driving import make_touchpoint
from tests.integration.profile.running import Service


def encode_raw_cursor(*values: float | str) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 1 << 200, 1e30, str(1 << 63)])
async def test_a_cursor_with_a_number_beyond_64_bits_is_none_of_ours(service: Service, number: float | str) -> None:
    sent = make_touchpoint(1, "u1")
    await service.send(sent)
    await service.view("user_id:u1", sent)
    for path, second in (("profiles/user_id:u1/history", str(uuid4())), ("identity/refusals", "shared_device")):
        answer = await service.get(f"/v1/{path}", cursor=encode_raw_cursor(number, second))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")
    bans = await service.get("/v1/identity/bans", cursor=encode_raw_cursor(number))
    assert (bans.status_code, bans.json()["code"]) == (422, "invalid_cursor")
