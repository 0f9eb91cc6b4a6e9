"""What the shop's marketers set up: segments, a template, and a campaign that welcomes whoever becomes a customer."""

from typing import Any

import httpx

from cli.errors import CliError

SEGMENTS: tuple[dict[str, Any], ...] = (
    {
        "id": "customers",
        "name": "Customers",
        "description": "Bought at least once.",
        "rule": {"view": "aggregates.orders.count", "gte": 1},
    },
    {
        "id": "repeat-buyers",
        "name": "Repeat buyers",
        "description": "Bought on at least two days.",
        "rule": {"view": "aggregates.orders.occasions", "gte": 2},
    },
    {
        "id": "vip",
        "name": "VIP",
        "description": "300 EUR or more, returns taken off.",
        "rule": {"view": "aggregates.orders.net_minor.EUR", "gte": 30000},
    },
    {
        "id": "browsers",
        "name": "Only looking",
        "description": "Looked at three products or more, bought nothing.",
        "rule": {"all": [{"did": "Product Viewed", "times": {"gte": 3}}, {"not": {"did": "Order Completed"}}]},
    },
    {
        "id": "unhappy",
        "name": "Unhappy",
        "description": "An open ticket, or a low satisfaction score.",
        "rule": {
            "any": [
                {"view": "aggregates.support.tickets_open", "gte": 1},
                {"view": "aggregates.support.csat_latest", "lte": 2},
                {"view": "aggregates.surveys.nps_latest", "lte": 6},
            ]
        },
    },
    {
        "id": "newsletter",
        "name": "Newsletter",
        "description": "May be written to.",
        "rule": {"consent": {"purpose": "marketing", "channel": "email"}},
    },
)
WELCOME_TEMPLATE = {
    "id": "welcome",
    "name": "Welcome",
    "subject": "Welcome, {{ traits.first_name | default: 'coffee friend' }}",
    "text": (
        "Hello {{ traits.first_name | default: 'there' }},\n\nthank you for your first order. "
        "You have {{ profile.loyalty.balance | default: 0 }} points so far.\n\nYour coffee shop\n"
    ),
}
WELCOME_CAMPAIGN = {"id": "welcome", "name": "Welcome", "segment_id": "customers", "template_id": "welcome"}


async def set_up_segments(client: httpx.AsyncClient, segmentation: str) -> None:
    """Those that are missing; what somebody edited stays as it is."""
    for segment in SEGMENTS:
        response = await client.post(f"{segmentation}/v1/segments", json=segment)
        _check(response, allow={httpx.codes.CONFLICT})


async def set_up_campaign(client: httpx.AsyncClient, engagement: str) -> None:
    """After the history is in: who became a customer last year needs no welcome now."""
    existing = await client.get(f"{engagement}/v1/campaigns")
    _check(existing)
    if any(item["id"] == WELCOME_CAMPAIGN["id"] for item in existing.json()["items"]):
        return
    _check(await client.post(f"{engagement}/v1/templates", json=WELCOME_TEMPLATE))
    _check(await client.post(f"{engagement}/v1/campaigns", json=WELCOME_CAMPAIGN))


def _check(response: httpx.Response, *, allow: set[int] | frozenset[int] = frozenset()) -> None:
    if not response.is_success and response.status_code not in allow:
        raise CliError(
            f"{response.request.method} {response.request.url} was answered with {response.status_code}: {response.text[:300]}"
        )
