"""Who is in, how many were, what segments share, and files of members."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import httpx

from services.segmentation.domain.exporting import read_columns
from services.segmentation.store.exports import write_members
from tests.builders.changes import NOON, make_touchpoint

from .conftest import Customer, World

BUYERS = {"did": "Order Completed"}


def order(minute: int = 0) -> Any:
    return make_touchpoint("Order Completed", minute=minute)


async def test_members_come_in_pages(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    customers = [Customer(world) for _ in range(5)]
    for customer in customers:
        await customer.does(order())
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await api.get("/v1/segments/s/members", params=params)).json()
        seen += [item["profile_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(str(customer.id) for customer in customers)
    assert (await api.get("/v1/segments/s/members", params={"cursor": "x"})).status_code == 422


async def test_history_is_the_size_over_time(api: httpx.AsyncClient, world: World) -> None:
    await world.define({"did": "Order Completed", "within": "P2D"}, "recent")
    for day in (0, 0, 1):
        world.clock.set(NOON + timedelta(days=day, minutes=20))
        await Customer(world).does(order(minute=day * 1440))
    world.clock.set(NOON + timedelta(days=4))
    await world.fire()
    params = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-05T00:00:00Z"}
    items = (await api.get("/v1/segments/recent/history", params=params)).json()["items"]
    assert [(item["size"], item["entered"], item["exited"]) for item in items] == [(2, 2, 0), (3, 1, 0), (1, 0, 2), (0, 0, 1)]
    assert (await api.get("/v1/segments/recent/history", params={"interval": "P1M"})).status_code == 400
    for too_long in ({"interval": "P100000D"}, {"interval": "P999999999D"}, {**params, "interval": "P999999999D"}):
        refused = await api.get("/v1/segments/recent/history", params=too_long)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/query/interval")
    assert (await api.get("/v1/segments/recent/history", params={**params, "interval": "PT1S"})).status_code == 422


async def test_members_who_entered_after_an_instant(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    early, late = Customer(world), Customer(world)
    await early.does(order(10))
    world.clock.set(NOON + timedelta(hours=3))
    await late.does(order(150))
    params = {"since": "2026-03-01T12:10:00Z"}
    assert [one["profile_id"] for one in (await api.get("/v1/segments/s/members", params=params)).json()["items"]] == [
        str(late.id)
    ]
    earlier = {"since": "2026-03-01T12:09:59.999Z"}
    assert len((await api.get("/v1/segments/s/members", params=earlier)).json()["items"]) == 2
    assert (await api.get("/v1/segments/s/members", params={"since": "soon"})).status_code == 400


async def test_history_by_default_is_the_last_thirty_days_of_the_calendar(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    await Customer(world).does(order())
    items = (await api.get("/v1/segments/s/history")).json()["items"]
    assert (len(items), items[0]["from"], items[-1]["from"]) == (30, "2026-01-31T00:00:00.000Z", "2026-03-01T00:00:00.000Z")
    assert [item["size"] for item in items[-2:]] == [0, 1]
    hours = (await api.get("/v1/segments/s/history", params={"interval": "PT1H"})).json()["items"]
    assert (len(hours), hours[-1]["from"], hours[-1]["size"]) == (72, "2026-03-01T12:00:00.000Z", 1)


async def test_what_the_clock_tells_late_corrects_the_past(api: httpx.AsyncClient, world: World) -> None:
    """The worker was away for two days: whoever left meanwhile left then, not when it came back."""
    await world.define({"did": "Order Completed", "within": "P1D"}, "recent")
    await Customer(world).does(order())
    world.clock.set(NOON + timedelta(days=3))
    params = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-05T00:00:00Z"}
    before = (await api.get("/v1/segments/recent/history", params=params)).json()["items"]
    assert [item["size"] for item in before] == [1, 1, 1, 1]
    await world.fire()
    after = (await api.get("/v1/segments/recent/history", params=params)).json()["items"]
    assert [item["size"] for item in after] == [1, 0, 0, 0]


async def test_what_came_late_of_somebody_who_was_quiet_since_counts_where_it_was_done(
    api: httpx.AsyncClient, world: World
) -> None:
    await world.define({"did": "Order Completed", "within": "P1D"}, "recent")
    ada = Customer(world)
    await ada.does(make_touchpoint("Page Viewed"))
    world.clock.set(NOON + timedelta(days=3))
    await ada.does(order(60), order(2 * 1440))
    params = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-05T00:00:00Z"}
    told = (await api.get("/v1/segments/recent/history", params=params)).json()["items"]
    assert [item["size"] for item in told] == [1, 0, 1, 0]


async def test_a_late_correction_corrects_the_past_when_it_is_counted_anew(api: httpx.AsyncClient, world: World) -> None:
    """Two orders that were heard of late, after the profile was judged again: they are done before, and told nowhere."""
    await world.define({"did": "Order Completed", "within": "P1D"}, "recent")
    await world.define({"all": [{"not": {"segment": "recent"}}, {"did": "Page Viewed"}]}, "quiet")
    ada = Customer(world)
    await ada.does(make_touchpoint("Page Viewed"))
    world.clock.set(NOON + timedelta(days=3))
    await ada.does(make_touchpoint("Page Viewed", minute=3 * 1440))
    await ada.does(order(60), order(2 * 1440), snapshot={"first_seen_at": "2026-03-01T12:00:00.000Z"})
    params = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-05T00:00:00Z"}
    told = (await api.get("/v1/segments/recent/history", params=params)).json()["items"]
    assert [item["size"] for item in told] == [0, 0, 0, 0]
    expected = {"recent": [(1, 1, 0), (0, 0, 1), (1, 1, 0), (0, 0, 1)], "quiet": [(0, 1, 1), (1, 1, 0), (0, 0, 1), (1, 1, 0)]}
    for segment, sizes in expected.items():
        queued = await api.post(f"/v1/segments/{segment}/history/recount", params=params)
        assert queued.status_code == 202
        await world.run_jobs()
        job = (await api.get(queued.headers["location"])).json()
        assert [(one["size"], one["entered"], one["exited"]) for one in job["result"]["items"]] == sizes, segment
        assert job["progress"] == {"done": 1, "total": 1}


async def test_only_what_touchpoints_tell_is_counted_anew(api: httpx.AsyncClient, world: World) -> None:
    await world.define({"trait": "plan", "eq": "gold"}, "gold")
    await world.define({"not": {"segment": "gold"}}, "others")
    for segment in ("gold", "others"):
        refused = await api.post(f"/v1/segments/{segment}/history/recount")
        assert (refused.status_code, refused.json()["code"]) == (422, "past_not_recountable")
    assert (await api.post("/v1/segments/none/history/recount")).status_code == 404


async def test_overlap_with_other_segments_both_ways(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "a", "A")
    await world.define({"did": "Order Completed", "times": {"gte": 2}}, "b", "B")
    await world.define({"did": "Page Viewed"}, "c", "C")
    for orders in (1, 2):
        await Customer(world).does(*(order(number) for number in range(orders)))
    await Customer(world).does(make_touchpoint("Page Viewed"))
    found = (await api.get("/v1/segments/b/overlap")).json()
    assert found == {
        "items": [{"id": "a", "name": "A", "count": 1, "only_here": 0, "only_there": 1}],
        "members": 1,
        "next_cursor": None,
    }
    matrix = (await api.get("/v1/segments/overlap", params={"ids": "a,b,c"})).json()
    assert matrix["counts"] == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert [one["members"] for one in matrix["segments"]] == [2, 1, 1]
    assert (await api.get("/v1/segments/overlap", params={"ids": "a,nope"})).json()["code"] == "segment_not_found"
    too_many = await api.get("/v1/segments/overlap", params={"ids": ",".join(map(str, range(51)))})
    assert (too_many.status_code, too_many.json()["errors"][0]["pointer"]) == (422, "#/query/ids")


async def test_words_of_the_addresses_are_no_ids(api: httpx.AsyncClient) -> None:
    refused = await api.post("/v1/segments", json={"id": "overlap", "name": "O", "rule": BUYERS})
    assert (refused.status_code, refused.json()["code"]) == (422, "segment_id_reserved")
    assert (await api.post("/v1/segments", json={"name": "Overlap", "rule": BUYERS})).json()["id"] == "overlap-2"


EVIL = {
    "identifiers": [{"kind": "email", "value": "a@b.de"}, {"kind": "email", "value": "=1+1"}, {"kind": "phone", "value": "+491"}],
    "traits": {"name": '=HYPERLINK("http://x")', "age": -3, "tags": ["a", 1], "vip": True, "note": 'say "hi", you'},
}
COLUMNS = (
    "profile_id,since,version,identifier.email,identifier.phone,trait.name,trait.age,trait.tags,trait.vip,trait.note,trait.none"
)


async def test_export_as_csv_runs_nothing_in_a_spreadsheet(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    ada = Customer(world)
    await ada.does(order(), snapshot=EVIL)
    answer = await api.get("/v1/segments/s/export", params={"columns": COLUMNS})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="s.csv"'
    assert answer.headers["rapport-snapshot-at"].endswith("Z")
    header, row = csv.reader(io.StringIO(answer.text, newline=""))
    assert ",".join(header) == COLUMNS
    assert row[:3] == [str(ada.id), "2026-03-01T12:00:00.000Z", "1"]
    assert row[3:] == [
        "a@b.de;=1+1", "'+491", '\'=HYPERLINK("http://x")', "-3", '["a",1]', "true", 'say "hi", you', "",
    ]  # fmt: skip


async def test_export_as_ndjson_is_what_is_stored(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    await Customer(world).does(order(), snapshot=EVIL)
    params = {"format": "ndjson", "columns": "identifier.phone,trait.name,trait.tags,trait.none"}
    answer = await api.get("/v1/segments/s/export", params=params)
    assert json.loads(answer.text) == {
        "identifier.phone": ["+491"],
        "trait.name": '=HYPERLINK("http://x")',
        "trait.tags": ["a", 1],
        "trait.none": None,
    }


async def test_an_export_that_was_cut_is_gone_on_with(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    customers = sorted([Customer(world) for _ in range(5)], key=lambda one: one.id)
    await world.apply(*(customer.record(order()) for customer in customers))
    whole = (await api.get("/v1/segments/s/export")).text.splitlines()
    assert whole[0] == "profile_id,since"
    assert [line.partition(",")[0] for line in whole[1:]] == [str(customer.id) for customer in customers]
    rest = (await api.get("/v1/segments/s/export", params={"after": str(customers[2].id)})).text.splitlines()
    assert rest == whole[4:]


async def test_an_export_shows_personal_data_only_to_whom_may_see_it(api: httpx.AsyncClient, world: World) -> None:
    await world.define(BUYERS, "s")
    reader = {"Authorization": "Bearer reader"}
    assert (await api.get("/v1/segments/s/export", headers=reader)).status_code == 200
    for column in ("trait.name", "identifier.email"):
        refused = await api.get("/v1/segments/s/export", params={"columns": column}, headers=reader)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for columns in ("", "profile_id,profile_id", "trait.", "name", ",".join(f"trait.{n}" for n in range(51))):
        refused = await api.get("/v1/segments/s/export", params={"columns": columns})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/query/columns")
    assert (await api.get("/v1/segments/none/export")).status_code == 404


async def test_an_export_is_one_moment_whatever_changes_meanwhile(world: World) -> None:
    await world.define(BUYERS, "s")
    customers = sorted([Customer(world) for _ in range(501)], key=lambda one: one.id)
    await world.apply(*(customer.record(order()) for customer in customers))
    async with world.database.snapshot() as snapshot:
        chunks = write_members(snapshot, "s", read_columns(["profile_id"]), "ndjson", None)
        first = await anext(chunks)
        await customers[-1].does(causes=("erase",), members=(), snapshot=None)
        await world.delete("s")
        await world.run_jobs(chunk=600)
        rest = [chunk async for chunk in chunks]
    assert (first + b"".join(rest)).count(b"\n") == 501
    assert await world.members("s") == set()
