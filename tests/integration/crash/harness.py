"""Tells a story to a platform whose parts are killed at random, waits until everything has settled, and reads the end state."""

import asyncio
import email
import json
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.events import codec
from libs.events.envelope import Incoming
from libs.events.touchpoints import TouchpointRecorded
from libs.messaging.admin import consumer_lag
from libs.messaging.errors import SourceUnavailable
from tests.integration.crash.crew import Crew
from tests.integration.crash.expectation import SEGMENTS
from tests.integration.crash.load import Story, Wish
from tests.support.eventually import eventually
from tests.support.platform import RunningTestPlatform
from tests.support.profile_lives import Merge, Split

SERVICES = ("ingest", "profile", "segmentation", "engagement", "loyalty")
WORKER = "profile-worker"
VICTIMS = (*SERVICES, "kafka", "postgres", "redis", WORKER)
CONSUMERS = ("profile", "segmentation", "engagement", "loyalty")
AUTH = ("dev-write-key", "")
STAFF = {"Authorization": "Bearer dev-api-key"}


@dataclass
class CrashRun:
    platform: RunningTestPlatform
    story: Story
    seed: int
    settle_s: float = 180.0
    workers: int = 1
    killed: Counter[str] = field(default_factory=Counter)
    commands: dict[UUID, Merge | Split] = field(default_factory=dict)
    lifted: dict[UUID, datetime] = field(default_factory=dict)
    crew: Crew = field(init=False)

    def __post_init__(self) -> None:
        self.crew = Crew(self.platform, self.workers)

    async def set_up(self) -> None:
        """Segments, and a campaign for those who subscribe; then who the customers are, in peace."""
        urls = self.platform.urls
        async with httpx.AsyncClient(headers=STAFF, timeout=30) as staff:
            for name, (rule, _) in SEGMENTS.items():
                answer = await staff.post(f"{urls['segmentation']}/v1/segments", json={"id": name, "name": name, "rule": rule})
                assert answer.status_code == 201, answer.text
            template = {"id": "hello", "name": "Hello", "subject": "Hello {{ traits.first_name }}", "text": "Beans are coming."}
            campaign = {"id": "beans", "name": "Beans", "segment_id": "subscribers", "template_id": "hello"}
            for path, body in (("templates", template), ("campaigns", campaign)):
                answer = await staff.post(f"{urls['engagement']}/v1/{path}", json=body)
                assert answer.status_code == 201, answer.text
        self.crew.mend()
        await self.tell(self.story.opening)
        await self.settle()

    async def tell(self, batches: list[list[dict[str, Any]]]) -> None:
        """As an SDK does: again and again until ingest says 200."""
        queue = list(reversed(batches))
        url = f"{self.platform.urls['ingest']}/v1/batch"

        async def sender(client: httpx.AsyncClient) -> None:
            while queue:
                batch = queue.pop()
                while True:
                    try:
                        answer = await client.post(url, json={"batch": batch}, auth=AUTH)
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)
                        continue
                    if answer.status_code == 200:
                        break
                    assert answer.status_code in {429, 503}, answer.text
                    await asyncio.sleep(0.1)

        async with httpx.AsyncClient(timeout=30) as client:
            await asyncio.gather(*(sender(client) for _ in range(4)))

    async def tell_under_fire(self, kills: int) -> None:
        """The rest of the story while `kills` parts die by SIGKILL, each kind at least once when there are enough.

        Beside it the wishes of those who work with it, and workers of profile that come and go: every change moves partitions.
        """
        random = Random(f"kills:{self.seed}")
        victims = [VICTIMS[place % len(VICTIMS)] for place in range(kills)]
        random.shuffle(victims)
        slices = [self.story.batches[place :: kills + 1] for place in range(kills + 1)]
        wishing = asyncio.create_task(self._wish_all())
        await self.tell(slices[0])
        for victim, batches in zip(victims, slices[1:], strict=True):
            telling = asyncio.create_task(self.tell(batches))
            await asyncio.sleep(random.random() * 0.5)  # a moment into the work, drawn from the seed
            # It may just be coming up again: services end when their database stays away.
            await eventually(lambda part=victim: self._kill(part, random), within_s=120)
            self.killed[victim] += 1
            await telling
            await eventually(lambda part=victim: part == WORKER or self.platform.pid_of(part), within_s=120)
            if self.killed.total() % 3 == 0:
                await self.crew.dismiss(random)
            self.crew.mend()
        await wishing

    def _kill(self, victim: str, random: Random) -> int | None:
        return self.crew.kill(random) if victim == WORKER else self.platform.kill(victim)

    async def _wish_all(self) -> None:
        async with httpx.AsyncClient(headers=STAFF, timeout=30, base_url=self.platform.urls["profile"]) as staff:
            for wish in self.story.wishes:
                await self._carry_out(staff, wish)

    async def _carry_out(self, staff: httpx.AsyncClient, wish: Wish) -> None:
        splits = [id_ for id_, move in self.commands.items() if isinstance(move, Split)]
        if wish.method == "DELETE":
            if wish.lift < len(splits):
                await self._lift(staff, splits[-1 - wish.lift])
            return
        answer = await _ask(staff, wish.method, wish.path, wish.body, wish.key)
        if answer.status_code == 200 and wish.body is not None:
            said = answer.json()
            if "identifier" in wish.body:
                self.commands[UUID(said["id"])] = Split(wish.body["identifier"]["value"])
            elif "other" in wish.body:
                self.commands[UUID(said["id"])] = Merge(_value_of(wish.path.split("/")[3]), _value_of(wish.body["other"]), False)

    async def _lift(self, staff: httpx.AsyncClient, ban_id: UUID) -> None:
        """A kill may have come between the lifting and its answer: the row says whether and when it was."""
        answer = await _ask(staff, "DELETE", f"/v1/identity/bans/{ban_id}")
        assert answer.status_code in {204, 404}, answer.text
        statement = f"SELECT max(void_until) FROM bans WHERE ban_id = '{ban_id}' AND void_until < 'infinity'"
        [(at,)] = await eventually(lambda: self._fetch_once(statement), until=lambda rows: rows is not None, within_s=120)
        if at is not None:
            self.lifted.setdefault(ban_id, at)

    async def _fetch_once(self, statement: str) -> list[Any] | None:
        """None while the database is away."""
        try:
            return await self.fetch(statement)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return None

    async def fetch(self, statement: str) -> list[Any]:
        """Of profile's own schema."""
        connection = await asyncpg.connect(
            self.platform.settings.postgres, timeout=10, server_settings={"search_path": "profile"}
        )
        try:
            rows: list[Any] = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    async def settle(self) -> None:
        """Everything consumed, published and sent: nothing is under way any more."""
        await eventually(self._is_settled, within_s=self.settle_s, pause_s=0.3)

    async def _is_settled(self) -> bool:
        self.crew.mend()
        try:
            first = await self._look()
            if first != 0:
                return False
            # Facets come back within 250 ms and coalesce: a second look after that must be as quiet.
            await asyncio.sleep(0.6)
            return await self._look() == 0
        except (OSError, asyncpg.PostgresError, httpx.HTTPError, SourceUnavailable):
            return False  # the last one killed may still be coming up

    async def _look(self) -> int:
        """Records in ingest's spool, records behind, outbox rows and messages under way."""
        settings = self.platform.settings
        behind = await self._count_spooled()
        for group in CONSUMERS:
            behind += sum((await consumer_lag(settings, group)).values())
        connection = await asyncpg.connect(settings.postgres, timeout=10)
        try:
            for schema in CONSUMERS:
                behind += await connection.fetchval(f"select count(*) from {schema}.outbox")
            behind += await connection.fetchval("select count(*) from engagement.messages where state in ('queued', 'sending')")
        finally:
            await connection.close()
        return behind

    async def _count_spooled(self) -> int:
        """What was acknowledged while the log was away and isn't in it yet."""
        async with httpx.AsyncClient(timeout=10) as client:
            shown = (await client.get(f"{self.platform.urls['ingest']}/metrics")).raise_for_status().text
        figures = dict(line.rsplit(" ", 1) for line in shown.splitlines() if not line.startswith("#"))
        return int(float(figures["rapport_ingest_spool_records"]) + float(figures["rapport_ingest_broker_away"]))

    async def read_touchpoints(self) -> list[TouchpointRecorded]:
        """Everything in the log, first copies only, in order of each partition."""
        consumer = AIOKafkaConsumer(
            "touchpoints", bootstrap_servers=self.platform.settings.kafka, auto_offset_reset="earliest", group_id=None
        )
        await consumer.start()
        try:
            await consumer._client.force_metadata_update()  # a consumer without a group knows no topic of itself
            places = [TopicPartition("touchpoints", number) for number in consumer.partitions_for_topic("touchpoints") or ()]
            consumer.unsubscribe()
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            found: dict[Any, TouchpointRecorded] = {}
            deadline = time.monotonic() + 300
            while any([await consumer.position(place) < ends[place] for place in places]):
                assert time.monotonic() < deadline, "the log could not be read in five minutes"
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        incoming = Incoming(
                            "touchpoints", record.partition, record.offset, record.key, record.value, dict(record.headers), 0
                        )
                        touchpoint = codec.decode(incoming)
                        assert isinstance(touchpoint, TouchpointRecorded)
                        found.setdefault(touchpoint.id, touchpoint)
            return list(found.values())
        finally:
            await consumer.stop()

    async def read_profiles(self, nodes: set[tuple[str, str]], core: Collection[str]) -> dict[str, dict[str, Any]]:
        """What the services show, by label: the view less versions and ids, the memberships, the balance."""
        urls = self.platform.urls
        async with httpx.AsyncClient(headers=STAFF, timeout=30) as staff:
            members = {name: await _read_members(staff, urls["segmentation"], name) for name in SEGMENTS}
            shown: dict[str, dict[str, Any]] = {}
            ids: set[str] = set()
            for kind, value in sorted(nodes):
                ref = quote(f"{kind}:{value}", safe="")
                answer = await staff.get(f"{urls['profile']}/v1/profiles/{ref}")
                assert answer.status_code == 200, f"{ref}: {answer.text}"
                view = answer.json()
                label = " ".join(sorted(f"{one['kind']}:{one['value']}" for one in view["identifiers"]))
                if label in shown:
                    continue
                member = (await staff.get(f"{urls['loyalty']}/v1/members/{ref}")).json()
                ids.add(view["id"])
                facet = view["loyalty"]["balance"] if view.get("loyalty") else 0
                shown[label] = {
                    "identifiers": sorted(
                        ({"kind": one["kind"], "value": one["value"]} for one in view["identifiers"]), key=_node
                    ),
                    **{name: view[name] for name in core},
                    "segments": sorted(name for name, of in members.items() if view["id"] in of),
                    "balance": member["balance"],
                }
                assert sorted(one["id"] for one in view["segments"]) == shown[label]["segments"], f"{label}: the facet lags"
                assert facet == member["balance"], f"{label}: the points facet lags"
        strangers = set().union(*members.values()) - ids
        assert not strangers, f"members that are nobody now: {strangers}"
        return shown

    async def read_timeline(self, kind: str, value: str) -> list[str]:
        """Ids of all touchpoints of a profile, newest first, page by page."""
        found: list[str] = []
        cursor: str | None = None
        async with httpx.AsyncClient(headers=STAFF, timeout=30, base_url=self.platform.urls["profile"]) as staff:
            while True:
                params = {"limit": "500", **({"cursor": cursor} if cursor else {})}
                path = f"/v1/profiles/{quote(f'{kind}:{value}', safe='')}/timeline"
                answer = (await staff.get(path, params=params)).raise_for_status().json()
                found += [item["id"] for item in answer["items"]]
                cursor = answer["next_cursor"]
                if cursor is None:
                    return found

    async def read_intents(self) -> list[str]:
        """Recipients of messages that were meant to go out, one entry a message."""
        async with httpx.AsyncClient(headers=STAFF, timeout=30) as staff:
            answer = await staff.get(
                f"{self.platform.urls['engagement']}/v1/messages", params={"campaign": "beans", "limit": 500}
            )
        return sorted(item["recipient"] for item in answer.json()["items"] if item["state"] != "skipped")

    def read_mail(self) -> Counter[str]:
        """Message-IDs the SMTP server accepted."""
        mails = [email.message_from_bytes(path.read_bytes()) for path in self.platform.mail.rglob("*.eml")]
        return Counter(str(mail["Message-ID"]) for mail in mails)


def _value_of(ref: str) -> str:
    return ref.partition(":")[2]


async def _ask(
    staff: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None
) -> httpx.Response:
    """With the same key again and again, until it is done or refused."""
    headers = {"Idempotency-Key": key} if key else {}
    while True:
        try:
            answer = await staff.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code < 500:
            return answer
        await asyncio.sleep(0.1)


def _node(entry: dict[str, str]) -> tuple[str, str]:
    return entry["kind"], entry["value"]


async def _read_members(staff: httpx.AsyncClient, url: str, segment: str) -> set[str]:
    found: set[str] = set()
    cursor: str | None = None
    while True:
        params = {"limit": "500", **({"cursor": cursor} if cursor else {})}
        answer = (await staff.get(f"{url}/v1/segments/{segment}/members", params=params)).json()
        found.update(item["profile_id"] for item in answer["items"])
        cursor = answer["next_cursor"]
        if cursor is None:
            return found


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)
