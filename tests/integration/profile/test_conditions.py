"""Conditional reads and edits: a tag stands for one version of one profile."""

import hashlib
import json

import pytest

from tests.integration.profile.driving import make_identify
from tests.integration.profile.running import Service, make_etag

EDITS = pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "traits", {"plan": "gold"}),
        ("PUT", "consent", {"purpose": "marketing", "status": "granted"}),
        ("POST", "lead/stage", {"stage": "customer"}),
    ],
)


@EDITS
async def test_an_edit_based_on_an_older_version_is_refused_and_leaves_no_trace(
    service: Service, method: str, path: str, body: dict[str, str]
) -> None:
    sent = make_identify(1, "u1", plan="free")
    await service.send(sent)
    view = await service.view("user_id:u1", sent)
    present, old, new = make_etag(view), make_etag(view, view["version"] - 1), make_etag(view, view["version"] + 1)
    address = f"/v1/profiles/user_id:u1/{path}"
    refused = await service.client.request(method, address, json=body, headers={"If-Match": old})
    assert (refused.status_code, refused.json()["code"], refused.headers["etag"]) == (412, "precondition_failed", present)
    weak = await service.client.request(method, address, json=body, headers={"If-Match": f"W/{present}"})
    assert weak.status_code == 412
    taken = await service.client.request(method, address, json=body, headers={"If-Match": f"{old}, {present}"})
    assert (taken.status_code, taken.headers["etag"]) == (200, new)
    late = await service.client.request(method, address, json=body, headers={"If-Match": present})
    anyhow = await service.client.request(method, address, json=body, headers={"If-Match": "*"})
    assert (late.status_code, anyhow.status_code) == (412, 200)
    items = (await service.get("/v1/profiles/user_id:u1/timeline")).json()["items"]
    assert len([item for item in items if item["source"] == "profile-api"]) == 2


@EDITS
async def test_a_tag_of_another_profile_of_the_same_version_fits_nothing(
    service: Service, method: str, path: str, body: dict[str, str]
) -> None:
    """A split gives the address to another profile, which soon has the version that the first one had."""
    known = make_identify(1, "u1", "e1")
    await service.send(known)
    seen = await service.view("email:e1", known)
    reason = {"identifier": {"kind": "email", "value": "e1"}, "reason": "a shared mailbox"}
    split = await service.client.post(f"/v1/profiles/{seen['id']}/split", json=reason)
    assert split.status_code == 200, split.text
    other = await service.view("email:e1")
    assert (other["version"], other["id"] != seen["id"]) == (seen["version"], True)
    read = await service.client.get("/v1/profiles/email:e1", headers={"If-None-Match": make_etag(seen)})
    assert (read.status_code, read.headers["etag"]) == (200, make_etag(other))
    address = f"/v1/profiles/email:e1/{path}"
    refused = await service.client.request(method, address, json=body, headers={"If-Match": make_etag(seen)})
    assert (refused.status_code, refused.headers["etag"]) == (412, make_etag(other))
    taken = await service.client.request(method, address, json=body, headers={"If-Match": refused.headers["etag"]})
    assert taken.status_code == 200


async def test_a_repeated_edit_that_was_applied_but_not_answered_is_no_conflict(service: Service) -> None:
    sent = make_identify(1, "u1", plan="free")
    await service.send(sent)
    view = await service.view("user_id:u1", sent)
    headers = {"Idempotency-Key": "k1", "If-Match": make_etag(view)}
    first = await service.client.patch("/v1/profiles/user_id:u1/traits", json={"a": 1}, headers=headers)
    async with service.database.connection() as connection:
        await connection.execute("UPDATE idempotency_keys SET answer = NULL")
    again = await service.client.patch("/v1/profiles/user_id:u1/traits", json={"a": 1}, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["rapport-touchpoint"] == first.headers["rapport-touchpoint"]
    items = (await service.get("/v1/profiles/user_id:u1/timeline")).json()["items"]
    assert len(items) == 2


async def test_a_consent_without_proof_is_the_input_that_it_was_before_there_were_proofs(service: Service) -> None:
    sent = make_identify(1, "u1")
    await service.send(sent)
    await service.view("user_id:u1", sent)
    body = {"purpose": "marketing", "channel": "email", "status": "granted", "wording_version": None}
    path, key = "/v1/profiles/user_id:u1/consent", {"Idempotency-Key": "proofless"}
    assert (await service.client.put(path, json=body, headers=key)).status_code == 200
    async with service.database.connection() as tx:
        stored = await tx.fetchval("SELECT input_hash FROM idempotency_keys WHERE key = 'proofless'")
    before = b"user_id:u1\nconsent\n" + json.dumps(body, separators=(",", ":")).encode()
    assert bytes(stored) == hashlib.sha256(before).digest()
    proven = await service.client.put(path, json=body | {"proof": "form 17"}, headers=key)
    assert (proven.status_code, proven.json()["code"]) == (422, "idempotency_key_reused")
