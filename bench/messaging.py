"""What messaging costs by itself: publishing one record a call, publishing batches, consuming. Prints a table, or JSON.

Needs a broker: RAPPORT_KAFKA, as `rapport env` prints it. Client CPU is this process's, per record; the broker's is its own.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID, uuid4

import uvloop
from hdrh.histogram import HdrHistogram

from libs.events.envelope import Outgoing
from libs.events.topics import Topic
from libs.kit.settings import PlatformSettings
from libs.messaging.admin import connect_admin, ensure_topics
from libs.messaging.kafka_source import KafkaSource
from libs.messaging.ports import TopicPartition
from libs.messaging.producer import KafkaPublisher

_BODY_BYTES = 600
_MAX_LATENCY_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    records: int
    seconds: float
    per_second: int
    client_us_per_record: float
    p50_ms: float | None = None
    p99_ms: float | None = None


def make_records(topic: str, count: int, seed: int) -> list[Outgoing]:
    """Records as ingest writes them: a text id for a key, the CloudEvents headers, some 600 bytes of JSON."""
    rng = random.Random(seed)
    words = [f"{rng.getrandbits(40):x}" for _ in range(400)]
    records = []
    for number in range(count):
        key = str(UUID(int=rng.getrandbits(128))).encode()
        body = json.dumps({"id": number, "properties": {f"p{n}": rng.choice(words) for n in range(30)}}).encode()[:_BODY_BYTES]
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", key),
            ("ce_type", b"rapport.touchpoint.recorded.v1"),
            ("ce_source", b"bench"),
            ("ce_time", b"2026-01-01T00:00:00.000Z"),
            ("ce_subject", key),
            ("content-type", b"application/json"),
            ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        )
        records.append(Outgoing(topic, key, body, headers, int(time.time() * 1000)))
    return records


class _Nobody:
    async def assigned(self, partitions: Sequence[TopicPartition]) -> None: ...

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None: ...


async def _publish(
    name: str, publisher: KafkaPublisher, records: Sequence[Outgoing], *, tasks: int, per_call: int, seconds: float
) -> Result:
    histogram = HdrHistogram(1, _MAX_LATENCY_US, 3)
    sent = 0
    end_s = time.monotonic() + seconds

    async def work(first: int) -> None:
        nonlocal sent
        position = first
        while time.monotonic() < end_s:
            chunk = records[position : position + per_call]
            position = (position + per_call * tasks) % (len(records) - per_call)
            began_s = time.perf_counter()
            await publisher.publish(chunk)
            histogram.record_value(max(1, int((time.perf_counter() - began_s) * 1e6)))
            sent += len(chunk)

    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work(number * per_call) for number in range(tasks)))
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return Result(
        name,
        sent,
        round(took_s, 2),
        round(sent / took_s),
        round(cpu_s / sent * 1e6, 2),
        histogram.get_value_at_percentile(50) / 1000,
        histogram.get_value_at_percentile(99) / 1000,
    )


async def _consume(settings: PlatformSettings, topic: str, count: int) -> Result:
    source = KafkaSource(settings, f"bench-{uuid4().hex[:8]}")
    await source.start([topic], _Nobody())
    read, began_s, began_cpu_s = 0, 0.0, 0.0
    while read < count:
        records = await source.poll(topic, max_records=2_000, max_bytes=32_000_000, timeout_s=10)
        if not records:
            break
        if not read:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
        read += len(records)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    await source.close()
    return Result("consume, polls of 2,000", read, round(took_s, 2), round(read / took_s), round(cpu_s / read * 1e6, 2))


async def _run(arguments: argparse.Namespace) -> list[Result]:
    settings = PlatformSettings(topic_prefix=f"bench-{uuid4().hex[:6]}-")
    topic = Topic("messaging", "ingest", ("ingest",), (), "any", ())
    await ensure_topics(settings, [topic])
    records = make_records(topic.name, 40_000, arguments.seed)
    try:
        async with KafkaPublisher(settings) as publisher:
            await publisher.publish(records[:100])
            results = []
            for tasks, per_call in ((1, 1), (128, 1), (1_000, 1), (4, 100), (32, 100), (2, 2_000)):
                name = f"publish, {tasks} tasks, {per_call} a call"
                results.append(
                    await _publish(name, publisher, records, tasks=tasks, per_call=per_call, seconds=arguments.seconds)
                )
        results.append(await _consume(settings, topic.name, min(1_000_000, sum(result.records for result in results))))
    finally:
        async with connect_admin(settings) as admin:
            await admin.delete_topics([settings.topic_prefix + topic.name])
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    results = uvloop.run(_run(arguments))
    if arguments.json:
        json.dump([asdict(result) for result in results], sys.stdout, indent=1)
        print()
        return
    print(f"{'case':32} {'records/s':>10} {'client us':>10} {'p50 ms':>8} {'p99 ms':>8}")
    for result in results:
        latency = f"{result.p50_ms:8.1f} {result.p99_ms:8.1f}" if result.p50_ms is not None else ""
        print(f"{result.name:32} {result.per_second:>10,} {result.client_us_per_record:>10} {latency}")


if __name__ == "__main__":
    main()
