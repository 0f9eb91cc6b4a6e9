"""Sends planned touchpoints in batches, some at once, and knows which prefix of the file is acknowledged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx
import msgspec

from cli.errors import CliError
from cli.importing.rows import Planned, Skipped, Step

BATCH_EVENTS = 500
BATCH_BYTES = 450_000
TRIES = 30
RETRY_MAX_S = 10.0
_TEMPORARY = {408, 429, 500, 502, 503, 504}
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


@dataclass(slots=True)
class Tally:
    """What became of the rows so far. `steps` counts the acknowledged prefix of the file's steps, for resuming."""

    steps: int = 0
    rows: int = 0
    accepted: int = 0
    accepted_rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_rows: Counter[str] = field(default_factory=Counter)
    skipped_rows: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "rows": self.rows,
            "accepted": self.accepted,
            "accepted_rows": self.accepted_rows,
            "rejected": dict(self.rejected),
            "rejected_rows": dict(self.rejected_rows),
            "skipped_rows": dict(self.skipped_rows),
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Tally":
        return cls(
            steps=stored["steps"],
            rows=stored["rows"],
            accepted=stored["accepted"],
            accepted_rows=stored["accepted_rows"],
            rejected=Counter(stored["rejected"]),
            rejected_rows=Counter(stored["rejected_rows"]),
            skipped_rows=Counter(stored["skipped_rows"]),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive steps of the file; the planned ones travel in one request."""

    steps: list[Step]
    body: bytes

    @property
    def planned(self) -> list[Planned]:
        return [step for step in self.steps if isinstance(step, Planned)]


def cut_batches(steps: Iterable[Step]) -> Iterator[Batch]:
    """At most 500 touchpoints and 450 KB a request; a touchpoint larger than that travels alone and is refused by name."""
    held: list[Step] = []
    parts: list[bytes] = []
    size = 0
    for step in steps:
        part = _encode(step.touchpoint) if isinstance(step, Planned) else b""
        if parts and (size + len(part) > BATCH_BYTES or len(parts) >= BATCH_EVENTS):
            yield Batch(held, _wrap(parts))
            held, parts, size = [], [], 0
        held.append(step)
        if part:
            parts.append(part)
            size += len(part) + 1
    if held:
        yield Batch(held, _wrap(parts))


def _wrap(parts: list[bytes]) -> bytes:
    return b'{"touchpoints":[' + b",".join(parts) + b"]}"


async def deliver(
    client: httpx.AsyncClient, batches: Iterator[Batch], tally: Tally, *, parallel: int, progress: Callable[[Tally], None]
) -> None:
    """Send everything; `progress` after each acknowledged batch. Raises CliError when ingest refuses for good or stays away."""
    async with _sending(client, batches, parallel) as answers:
        async for batch, answer in answers:
            _count(tally, batch, answer)
            progress(tally)


@asynccontextmanager
async def _sending(
    client: httpx.AsyncClient, batches: Iterator[Batch], parallel: int
) -> AsyncIterator[AsyncIterator[tuple[Batch, dict[str, Any]]]]:
    """Answers in file order with `parallel` requests under way, so that what is counted is always a prefix."""
    waiting: list[tuple[Batch, asyncio.Task[dict[str, Any]]]] = []

    async def ordered() -> AsyncIterator[tuple[Batch, dict[str, Any]]]:
        while True:
            more = islice(batches, parallel - len(waiting))
            waiting.extend((batch, asyncio.create_task(_send(client, batch))) for batch in more)
            if not waiting:
                return
            batch, task = waiting.pop(0)
            yield batch, await task

    try:
        yield ordered()
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


async def _send(client: httpx.AsyncClient, batch: Batch) -> dict[str, Any]:
    if not batch.planned:
        return {"accepted": [], "rejected": []}
    problem = "no answer"
    for attempt in range(TRIES):
        wait_s = min(RETRY_MAX_S, 0.2 * 2**attempt)
        try:
            response = await client.post("/v1/touchpoints", content=batch.body)
        except httpx.TransportError as error:
            problem = type(error).__name__
        else:
            if response.status_code == httpx.codes.OK:
                answer: dict[str, Any] = response.json()
                return answer
            problem = f"{response.status_code} {_detail(response)}"
            if response.status_code not in _TEMPORARY:
                raise CliError(
                    f"Ingest refused a batch: {problem}", hint="The rows before it are in; run the import again once mended."
                )
            after = response.headers.get("retry-after", "")
            wait_s = float(after) if after.isdigit() else wait_s
        await asyncio.sleep(wait_s)
    raise CliError(f"Ingest stays away: {problem}", hint="Run the import again: it goes on where it stopped.")


def _detail(response: httpx.Response) -> str:
    try:
        problem = response.json()
    except ValueError:
        return ""
    return str(problem.get("detail") or problem.get("message") or "") if isinstance(problem, dict) else ""


def _count(tally: Tally, batch: Batch, answer: dict[str, Any]) -> None:
    planned = batch.planned
    refused = {entry["index"]: entry["reason"] for entry in answer["rejected"]}
    for index, sent in enumerate(planned):
        reason = refused.get(index)
        if reason is None:
            tally.accepted += 1
            tally.accepted_rows += sent.rows
        else:
            tally.rejected[reason] += 1
            tally.rejected_rows[reason] += sent.rows
    for step in batch.steps:
        tally.rows += step.rows
        if isinstance(step, Skipped):
            tally.skipped_rows[step.reason] += step.rows
    tally.steps += len(batch.steps)
