"""Looks at everything that runs, once: health and metrics of each service, side by side, and never waits long."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from cli.figures import Figures, Samples, compute_figures, parse_metrics

TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """`health`: service -> "ready", or why not."""

    health: Mapping[str, str]
    figures: Figures


async def look(client: httpx.AsyncClient, urls: Mapping[str, str]) -> Look:
    names = list(urls)
    health, samples = await asyncio.gather(
        asyncio.gather(*(fetch_health(client, urls[name]) for name in names)),
        asyncio.gather(*(fetch_samples(client, urls[name]) for name in names)),
    )
    return Look(dict(zip(names, health, strict=True)), compute_figures(dict(zip(names, samples, strict=True))))


async def fetch_health(client: httpx.AsyncClient, url: str) -> str:
    try:
        answer = await client.get(f"{url}/readyz")
    except httpx.TimeoutException:
        return "no answer in time"
    except httpx.HTTPError:
        return "no answer"
    return "ready" if answer.is_success else f"not ready: {describe_failing(answer)}"


def describe_failing(answer: httpx.Response) -> str:
    """The names of the failing checks, whatever shape the body has."""
    try:
        body = answer.json()
    except ValueError:
        return f"status {answer.status_code}"
    checks = body.get("failing") or body.get("checks") or body.get("detail") if isinstance(body, dict) else body
    if isinstance(checks, Mapping):
        return ", ".join(str(name) for name, state in checks.items() if state not in (True, "ok", None))
    if isinstance(checks, list):
        return ", ".join(str(name) for name in checks)
    return str(checks or f"status {answer.status_code}")


async def fetch_samples(client: httpx.AsyncClient, url: str) -> Samples:
    try:
        answer = await client.get(f"{url}/metrics")
    except httpx.HTTPError:
        return {}
    return parse_metrics(answer.text) if answer.is_success else {}


def make_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
