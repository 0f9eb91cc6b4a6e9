"""Figures of segments side by side, over the views as they are stored."""

from typing import Any

import httpx

from tests.builders.changes import make_touchpoint

from .conftest import Customer, World


def make_snapshot(orders: int, net: int, nps: int | None = None, *, reached: bool = False) -> dict[str, Any]:
    consent = [{"purpose": "marketing", "channel": "email", "status": "granted", "at": "2026-01-01T00:00:00.000Z"}]
    return {
        "aggregates": {
            "orders": {"count": orders, "occasions": orders, "net_minor": {"EUR": net}, "average_minor": {"EUR": net // orders}},
            "surveys": {"nps_latest": nps},
        },
        "consent": consent if reached else [],
    }


async def test_segments_side_by_side(api: httpx.AsyncClient, world: World) -> None:
    await world.define({"did": "Order Completed"}, "buyers", "Buyers")
    await world.define({"view": "aggregates.orders.net_minor.EUR", "gte": 5000}, "big", "Big")
    await world.define({"did": "Nothing"}, "none", "None")
    buy = make_touchpoint("Order Completed")
    for snapshot in (make_snapshot(1, 1000, 9), make_snapshot(4, 9000, 3, reached=True)):
        await Customer(world).does(make_touchpoint("Order Completed"), snapshot=snapshot)
    await Customer(world).does(make_touchpoint("Page Viewed"))
    buyers, big, nobody = (await api.get("/v1/segments/analysis", params={"ids": "buyers,big,none"})).json()["segments"]
    assert (buyers["customers"], big["customers"], nobody["customers"]) == (2, 1, 0)
    assert buyers["revenue"] == {"orders": 5, "net_minor": {"EUR": 10000}}
    assert buyers["average_order"]["minor"] == {"EUR": 2000}
    assert (buyers["repeat_rate"]["rate"], big["repeat_rate"]["rate"], nobody["repeat_rate"]["rate"]) == (0.5, 1.0, None)
    assert (buyers["nps"]["score"], big["nps"]["score"]) == (0.0, -100.0)
    assert (buyers["reach"]["channels"]["email"]["share"], big["reach"]["channels"]["email"]["customers"]) == (0.5, 1)

    # Reading one's own write, and only the figures asked for.
    await Customer(world).does(buy, snapshot=make_snapshot(1, 500))
    params = {"ids": "buyers", "kpis": "csat,revenue", "wait_for": str(buy.id)}
    [row] = (await api.get("/v1/segments/analysis", params=params)).json()["segments"]
    assert row == {
        "id": "buyers",
        "name": "Buyers",
        "customers": 3,
        "revenue": {"orders": 6, "net_minor": {"EUR": 10500}},
        "csat": {"answers": 0, "average": None},
    }


async def test_what_is_refused(api: httpx.AsyncClient, world: World) -> None:
    await world.define({"did": "Order Completed"}, "buyers")
    unknown = await api.get("/v1/segments/analysis", params={"ids": "buyers", "kpis": "revenue,beauty"})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "#/query/kpis")
    assert (await api.get("/v1/segments/analysis", params={"ids": "buyers,no"})).json()["code"] == "segment_not_found"
    assert (await api.get("/v1/segments/analysis")).status_code == 422
