"""What folding costs: microseconds of Python per touchpoint without a database, and of the whole fold against PostgreSQL.

    python -m bench.profile_fold [--events 40000] [--batch 2000] [--json]

`distinct`: every touchpoint is another profile's, the worst case. `zipf`: a few customers do most of it. Half of the profiles
have two fragments; all have 15 traits, consent, attribution and a history. PostgreSQL: RAPPORT_POSTGRES, else one of its own.
"""

import argparse
import gc
import json
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import uvloop
from msgspec import Raw

from deploy import local
from libs.events.touchpoints import Campaign, ConsentStatement, Identifier, TouchpointRecorded
from libs.kit.db import Database, migrate
from libs.orders.statements import OrderStatement
from services.profile.domain.activity import Near
from services.profile.domain.purchases import DayNets
from services.profile.domain.rows import ChangedRow, Wanted
from services.profile.handlers.fold_profiles import FactRows, ProfileWork, fold_rows
from services.profile.store.facts import PostgresFacts

START = datetime(2026, 1, 1, tzinfo=UTC)
MIGRATIONS = Path(__file__).resolve().parents[1] / "services" / "profile" / "migrations"
MIX = {"page": 60, "track": 10, "order": 15, "refund": 3, "identify": 4, "opened": 3, "review": 3, "ticket": 2}
_TWO_FRAGMENTS_EVERY = 2


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    events: int
    profiles: int
    python_us_per_event: float
    wall_us_per_event: float
    state_bytes: int
    totals_bytes: int
    core_bytes: int


class MemoryRows:
    """Rows in dictionaries, so that nothing but the fold is measured."""

    def __init__(self) -> None:
        self.facts: dict[tuple[UUID, int, bytes], tuple[bytes | None, bytes]] = {}
        self.refs: dict[tuple[UUID, int, bytes], set[bytes]] = defaultdict(set)
        self.sessions: dict[UUID, dict[int, int]] = defaultdict(dict)
        self.days: dict[UUID, dict[int, dict[str, int]]] = defaultdict(dict)
        self.tallies: dict[tuple[UUID, int], dict[bytes, tuple[int | None, bytes]]] = defaultdict(dict)

    async def load_keys(self, wanted: Sequence[Wanted]) -> Iterable[tuple[UUID, int, bytes, bytes]]:
        return [(*key, self.facts[key][1]) for key in wanted if key in self.facts]

    async def load_refunds(self, wanted: Sequence[tuple[UUID, bytes]], part: int) -> Iterable[tuple[UUID, int, bytes, bytes]]:
        found = [(fragment, part, key) for fragment, ref in wanted for key in self.refs.get((fragment, part, ref), ())]
        return [(*key, self.facts[key][1]) for key in found]

    async def load_fragments(self, fragments: Collection[UUID]) -> Iterable[tuple[UUID, int, bytes, bytes]]:
        return [(*key, body) for key, (_, body) in self.facts.items() if key[0] in fragments]

    async def save_facts(self, rows: Sequence[ChangedRow]) -> None:
        for fragment, part, key, ref, body in rows:
            self.facts[fragment, part, key] = ref, body
            if ref is not None:
                self.refs[fragment, part, ref].add(key)

    async def load_orders_in_time(
        self, fragments: Collection[UUID], part: int, *, newest_first: bool, limit: int, offset: int
    ) -> Sequence[tuple[bytes, bytes]]:
        found = [(key[2], ref) for key, (ref, _) in self.facts.items() if key[0] in fragments and key[1] == part and ref]
        return sorted(found, key=lambda row: row[1], reverse=newest_first)[offset : offset + limit]

    async def load_sessions(self, fragments: Collection[UUID]) -> Iterable[tuple[UUID, int, int]]:
        return [(fragment, start, end) for fragment in fragments for start, end in self.sessions[fragment].items()]

    async def load_sessions_near(self, windows: Sequence[Near]) -> Iterable[tuple[UUID, int, int]]:
        return [
            (fragment, start, end)
            for fragment, low, high in windows
            for start, end in self.sessions[fragment].items()
            if start <= high and end >= low
        ]

    async def save_sessions(self, rows: Sequence[tuple[UUID, int, int]]) -> None:
        for fragment, start, end in rows:
            self.sessions[fragment][start] = end

    async def drop_sessions(self, rows: Sequence[tuple[UUID, int]]) -> None:
        for fragment, start in rows:
            self.sessions[fragment].pop(start, None)

    async def load_days(self, wanted: Sequence[tuple[UUID, int]]) -> Mapping[UUID, DayNets]:
        return {profile_id: dict(self.days[profile_id]) for profile_id, _ in wanted}

    async def save_days(self, rows: Sequence[tuple[UUID, int, dict[str, int]]]) -> None:
        for profile_id, day, nets in rows:
            self.days[profile_id][day] = nets

    async def drop_days(self, profile_ids: Collection[UUID]) -> None:
        for profile_id in profile_ids:
            self.days.pop(profile_id, None)

    async def move_days(self, moves: Sequence[tuple[UUID, UUID]]) -> None:
        for old, new in moves:
            self.days[new] = self.days.pop(old, {})

    async def load_tallies(self, wanted: Sequence[tuple[UUID, int, bytes]]) -> Iterable[tuple[UUID, int, bytes, bytes]]:
        return [
            (profile_id, kind, key, self.tallies[profile_id, kind][key][1])
            for profile_id, kind, key in wanted
            if key in self.tallies[profile_id, kind]
        ]

    async def load_top(self, wanted: Sequence[tuple[UUID, int, int, int]]) -> Iterable[tuple[UUID, int, bytes, bytes]]:
        found = []
        for profile_id, kind, above, most in wanted:
            rows = self.tallies[profile_id, kind].items()
            ranked = sorted((-rank, key, body) for key, (rank, body) in rows if rank is not None and rank > above)
            found += [(profile_id, kind, key, body) for _, key, body in ranked[:most]]
        return found

    async def save_tallies(self, rows: Sequence[tuple[UUID, int, bytes, int | None, bytes]]) -> None:
        for profile_id, kind, key, rank, body in rows:
            self.tallies[profile_id, kind][key] = rank, body

    async def drop_tallies(self, profile_ids: Collection[UUID]) -> None:
        for profile_id, kind in [held for held in self.tallies if held[0] in profile_ids]:
            del self.tallies[profile_id, kind]

    async def move_tallies(self, moves: Sequence[tuple[UUID, UUID]]) -> None:
        for old, new in moves:
            for kind in [kind for profile_id, kind in self.tallies if profile_id == old]:
                self.tallies[new, kind] = self.tallies.pop((old, kind))


class Customers:
    """The profiles as their table keeps them, and a random customer's next touchpoint."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self.rng = rng
        self.profiles = [UUID(int=rng.getrandbits(128)) for _ in range(count)]
        self.members = [
            tuple(UUID(int=rng.getrandbits(128)) for _ in range(2 if n % _TWO_FRAGMENTS_EVERY else 1)) for n in range(count)
        ]
        self.states = {member: b"" for members in self.members for member in members}
        self.totals = [b""] * count
        self.core = [b""] * count
        self.seen = [False] * count
        self.number = 0

    def make_history(self) -> Iterable[list[tuple[int, TouchpointRecorded]]]:
        """For each customer: an identify with 15 traits, a visit from a campaign with consent, an order."""
        everybody = range(len(self.profiles))
        traits = {f"trait_{n}": f"value {n}" for n in range(13)} | {"firstName": "Ada", "plan": "gold"}
        yield [(who, self._make(who, "identify", "Identified", traits=traits)) for who in everybody]
        consent = (ConsentStatement("marketing", "email", "granted"), ConsentStatement("marketing", "*", "denied"))
        campaign = Campaign("newsletter", "email", "spring")
        yield [(who, self._make(who, "page", "Page Viewed", campaign=campaign, consent=consent)) for who in everybody]
        yield [(who, self._make_order(who)) for who in everybody]

    def make_any(self, who: int) -> TouchpointRecorded:
        """The mix of a shop: mostly pages, one in seven an order."""
        (what,) = self.rng.choices(list(MIX), list(MIX.values()))
        number = self.number
        match what:
            case "order":
                return self._make_order(who)
            case "refund":
                refund = OrderStatement(step="refunded", order_id=f"o{number}", amount="1.50", currency="EUR")
                made = self._make(who, "track", "Order Refunded", channel="server", order=refund)
            case "identify":
                made = self._make(who, "identify", "Identified", traits={"plan": "silver", "trait_3": number}, email=True)
            case "opened":
                made = self._make(who, "track", "Email Opened", channel="email", properties={"email_id": f"m{number}"})
            case "review":
                made = self._make(who, "track", "Product Reviewed", properties={"review_id": f"r{number}", "rating": "4"})
            case "ticket":
                ticket = {"ticket_id": f"t{number}"}
                made = self._make(who, "track", "Support Ticket Opened", channel="support", properties=ticket)
            case _:
                made = self._make(who, what, "Page Viewed" if what == "page" else "Product Viewed")
        return made

    def _make_order(self, who: int) -> TouchpointRecorded:
        order = OrderStatement(step="completed", order_id=f"o{self.number + 1}", amount="19.99", currency="EUR")
        return self._make(who, "track", "Order Completed", channel="server", order=order)

    def _make(
        self, who: int, kind: str, name: str, *, channel: str = "web", email: bool = False, **said: object
    ) -> TouchpointRecorded:
        self.number += 1
        at = START + timedelta(seconds=self.number // 50)
        identifiers = [Identifier("user_id", f"u{who}", self.members[who][0])]
        if email:
            identifiers.append(Identifier("email", f"u{who}@example.com", self.members[who][-1]))
        for field in ("properties", "traits"):
            if field in said:
                said[field] = Raw(json.dumps(said[field]).encode())
        return TouchpointRecorded(
            id=UUID(int=self.rng.getrandbits(128)),
            message_id=str(self.number),
            source_id="bench",
            kind=kind,  # type: ignore[arg-type]
            name=name,
            channel=channel,  # type: ignore[arg-type]
            occurred_at=at,
            received_at=at,
            identifiers=tuple(identifiers),
            **said,  # type: ignore[arg-type]
        )

    def make_work(self, told: Sequence[tuple[int, TouchpointRecorded]]) -> list[tuple[int, ProfileWork]]:
        by_customer: dict[int, list[tuple[UUID, TouchpointRecorded]]] = {}
        for who, touchpoint in told:
            by_customer.setdefault(who, []).append((self.members[who][self.number % len(self.members[who])], touchpoint))
        return [
            (
                who,
                ProfileWork(
                    profile_id=self.profiles[who],
                    members=self.members[who],
                    absorbed=(),
                    own_before=self.members[who] if self.seen[who] else (),
                    applied=applied,
                    states={member: self.states[member] for member in self.members[who]},
                    totals=self.totals[who],
                    core=self.core[who],
                ),
            )
            for who, applied in by_customer.items()
        ]

    def store(self, work: Iterable[tuple[int, ProfileWork]]) -> None:
        for who, one in work:
            self.states.update(one.changed_states)
            self.totals[who], self.core[who], self.seen[who] = one.totals, one.core, True


def score(text: str) -> str:
    return "0.5000" if text else "0.0000"


class Bench:
    """Folds batches over one store of rows, in a transaction each where there is a database."""

    def __init__(self, database: Database | None) -> None:
        self.database = database
        self.memory = MemoryRows()

    @asynccontextmanager
    async def open_rows(self) -> AsyncIterator[FactRows]:
        if self.database is None:
            yield self.memory
        else:
            async with self.database.transaction() as tx:
                yield PostgresFacts(tx)

    async def run(self, name: str, customers: Customers, whos: Sequence[int], batch: int) -> Result:
        for told in customers.make_history():
            for start in range(0, len(told), 5000):
                work = customers.make_work(told[start : start + 5000])
                async with self.open_rows() as rows:
                    await fold_rows(rows, [one for _, one in work], sentiment=score)
                customers.store(work)
        if self.database is not None:
            async with self.database.connection() as connection:
                await connection.execute("ANALYZE")
        gc.collect()
        gc.freeze()  # the bench's own customers, which no service holds in memory
        gc.set_threshold(100_000, 50, 100)  # as the worker does
        python_s = wall_s = 0.0
        for start in range(0, len(whos), batch):
            told = [(who, customers.make_any(who)) for who in whos[start : start + batch]]
            work = customers.make_work(told)
            started, started_cpu = time.perf_counter(), time.process_time()
            async with self.open_rows() as rows:
                await fold_rows(rows, [one for _, one in work], sentiment=score)
            wall_s += time.perf_counter() - started
            python_s += time.process_time() - started_cpu
            customers.store(work)
        return Result(
            name,
            len(whos),
            len(customers.profiles),
            round(python_s / len(whos) * 1e6, 1),
            round(wall_s / len(whos) * 1e6, 1),
            _mean_bytes(customers.states.values()),
            _mean_bytes(customers.totals),
            _mean_bytes(customers.core),
        )


def _mean_bytes(blobs: Collection[bytes]) -> int:
    return sum(map(len, blobs)) // len(blobs)


def choose_customers(mode: str, events: int, profiles: int, rng: random.Random) -> list[int]:
    if mode == "distinct":
        return [n % profiles for n in range(events)]
    return [int(rng.paretovariate(0.9)) % profiles for _ in range(events)]


async def measure(dsn: str, events: int, batch: int) -> list[Result]:
    await migrate(dsn, schema="profile", script_location=MIGRATIONS)
    database = await Database.open(dsn, schema="profile", application_name="bench")
    results = []
    for mode in ("distinct", "zipf"):
        for name, used in (("python alone", None), ("with PostgreSQL", database)):
            rng = random.Random(1)
            customers = Customers(events if mode == "distinct" else max(1000, events // 4), rng)
            whos = choose_customers(mode, events, len(customers.profiles), rng)
            results.append(await Bench(used).run(f"{mode}, {name}", customers, whos, batch))
            async with database.connection() as connection:
                await connection.execute("TRUNCATE facts, sessions, order_days, tallies")
    await database.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    dsn = os.environ.get("RAPPORT_POSTGRES")
    if dsn:
        results = uvloop.run(measure(dsn, options.events, options.batch))
    else:
        with (
            tempfile.TemporaryDirectory() as home,
            local.start(Path(home), only=("postgres",), ports={"postgres": 0}) as running,
        ):
            results = uvloop.run(measure(running.postgres.address, options.events, options.batch))
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return
    for one in results:
        print(f"{one.name}: {one.python_us_per_event} us Python, {one.wall_us_per_event} us wall an event", end="; ")
        print(f"{one.events} events, {one.profiles} profiles", end="; ")
        print(f"bytes: state {one.state_bytes}, totals {one.totals_bytes}, core {one.core_bytes}")


if __name__ == "__main__":
    main()
