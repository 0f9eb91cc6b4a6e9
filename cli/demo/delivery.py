"""Sends the shop's calls as a website and a back office would: batches with their own write keys, nothing lost on a bad day."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from cli.demo.scenes import Sender, Touch
from cli.errors import CliError

TRIES = 60
RETRY_MAX_S = 5.0


def _format(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Shop:
    """The two senders of the shop. Calls of one sender keep their order within a batch."""

    def __init__(self, client: httpx.AsyncClient, *, write_key: str, browser_key: str) -> None:
        self._client = client
        self._keys: dict[Sender, str] = {"server": write_key, "browser": browser_key}

    async def send(self, touches: Sequence[Touch]) -> None:
        """One batch a sender, at once. Raises CliError when ingest refuses or stays away for minutes."""
        await asyncio.gather(
            *(
                self._send_batch(sender, [touch for touch in touches if touch.sender == sender])
                for sender in ("server", "browser")
                if any(touch.sender == sender for touch in touches)
            )
        )

    async def _send_batch(self, sender: Sender, touches: Sequence[Touch]) -> None:
        batch = [touch.call | {"timestamp": _format(touch.at)} for touch in touches]
        problem = "no answer"
        for attempt in range(TRIES):
            body: dict[str, Any] = {"batch": batch, "sentAt": _format(datetime.now(UTC))}
            try:
                response = await self._client.post("/v1/batch", json=body, auth=(self._keys[sender], ""))
            except httpx.TransportError as error:
                problem = type(error).__name__
            else:
                if response.status_code == httpx.codes.OK:
                    return
                problem = str(response.status_code)
                if (
                    response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
                    and response.status_code != httpx.codes.TOO_MANY_REQUESTS
                ):
                    raise CliError(f"Ingest refused the demo's touchpoints: {response.status_code} {response.text[:200]}")
            await asyncio.sleep(min(RETRY_MAX_S, 0.1 * 2**attempt))
        raise CliError(f"Ingest stays away: {problem}", hint="`rapport status` tells what runs.")
