"""Rows of what grows, in dictionaries: passes the same suite as PostgreSQL's."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from services.profile.domain.activity import Near
from services.profile.domain.purchases import DayNets
from services.profile.domain.rows import ChangedRow, Wanted

T = TypeVar("T")
FactRow = tuple[UUID, int, bytes, bytes]


class FakeFactRows:
    """`reads` counts the rows handed out, so that a test can see what a batch costs."""

    def __init__(self) -> None:
        self.facts: dict[tuple[UUID, int, bytes], tuple[bytes | None, bytes]] = {}
        self.sessions: dict[tuple[UUID, int], int] = {}
        self.days: dict[tuple[UUID, int], dict[str, int]] = {}
        self.tallies: dict[tuple[UUID, int, bytes], tuple[int | None, bytes]] = {}
        self.reads = 0

    async def load_keys(self, wanted: Sequence[Wanted]) -> Iterable[FactRow]:
        assert wanted
        return self._give([(*key, self.facts[key][1]) for key in wanted if key in self.facts])

    async def load_refunds(self, wanted: Sequence[tuple[UUID, bytes]], part: int) -> Iterable[FactRow]:
        assert wanted
        asked = set(wanted)
        return self._give([(*key, body) for key, (ref, body) in self.facts.items() if key[1] == part and (key[0], ref) in asked])

    async def load_fragments(self, fragments: Collection[UUID]) -> Iterable[FactRow]:
        assert fragments
        return self._give([(*key, body) for key, (_, body) in self.facts.items() if key[0] in fragments])

    async def save_facts(self, rows: Sequence[ChangedRow]) -> None:
        assert rows
        assert len({(row.fragment, row.part, row.key) for row in rows}) == len(rows), "a statement may not touch a row twice"
        for row in rows:
            self.facts[row.fragment, row.part, row.key] = row.ref, row.body

    async def load_orders_in_time(
        self, fragments: Collection[UUID], part: int, *, newest_first: bool, limit: int, offset: int
    ) -> Sequence[tuple[bytes, bytes]]:
        found = [(key[2], ref) for key, (ref, _) in self.facts.items() if key[0] in fragments and key[1] == part and ref]
        found.sort(key=lambda row: (row[1], row[0]), reverse=newest_first)
        return self._give(found[offset : offset + limit])

    async def load_sessions(self, fragments: Collection[UUID]) -> Iterable[tuple[UUID, int, int]]:
        assert fragments
        return self._give([(*key, end) for key, end in self.sessions.items() if key[0] in fragments])

    async def load_sessions_near(self, windows: Sequence[Near]) -> Iterable[tuple[UUID, int, int]]:
        assert windows
        return self._give(
            [
                (fragment, start, end)
                for asked, low, high in windows
                for (fragment, start), end in self.sessions.items()
                if fragment == asked and start <= high and end >= low
            ]
        )

    async def save_sessions(self, rows: Sequence[tuple[UUID, int, int]]) -> None:
        assert rows
        assert len({row[:2] for row in rows}) == len(rows), "a statement may not touch a row twice"
        for fragment, start, end in rows:
            self.sessions[fragment, start] = end

    async def drop_sessions(self, rows: Sequence[tuple[UUID, int]]) -> None:
        assert rows
        for row in rows:
            self.sessions.pop(row, None)

    async def load_days(self, wanted: Sequence[tuple[UUID, int]]) -> Mapping[UUID, DayNets]:
        assert wanted
        found: dict[UUID, DayNets] = {}
        for profile_id, day in self._give([key for key in wanted if key in self.days]):
            found.setdefault(profile_id, {})[day] = dict(self.days[profile_id, day])
        return found

    async def save_days(self, rows: Sequence[tuple[UUID, int, dict[str, int]]]) -> None:
        assert rows
        for profile_id, day, nets in rows:
            self.days[profile_id, day] = dict(nets)

    async def drop_days(self, profile_ids: Collection[UUID]) -> None:
        self.days = {key: nets for key, nets in self.days.items() if key[0] not in profile_ids}

    async def move_days(self, moves: Sequence[tuple[UUID, UUID]]) -> None:
        for old, new in moves:
            for key in [key for key in self.days if key[0] == old]:
                assert (new, key[1]) not in self.days, "the days of two profiles may not meet"
                self.days[new, key[1]] = self.days.pop(key)

    async def load_tallies(self, wanted: Sequence[tuple[UUID, int, bytes]]) -> Iterable[FactRow]:
        assert wanted
        return self._give([(*key, self.tallies[key][1]) for key in wanted if key in self.tallies])

    async def load_top(self, wanted: Sequence[tuple[UUID, int, int, int]]) -> Iterable[FactRow]:
        assert wanted
        found: list[FactRow] = []
        for profile_id, kind, above, most in wanted:
            ranked = [
                (-rank, key[2], body)
                for key, (rank, body) in self.tallies.items()
                if key[:2] == (profile_id, kind) and rank is not None and rank > above
            ]
            found += [(profile_id, kind, key, body) for _, key, body in sorted(ranked)[:most]]
        return found

    async def save_tallies(self, rows: Sequence[tuple[UUID, int, bytes, int | None, bytes]]) -> None:
        assert rows
        assert len({row[:3] for row in rows}) == len(rows), "a statement may not touch a row twice"
        for profile_id, kind, key, rank, body in rows:
            self.tallies[profile_id, kind, key] = rank, body

    async def drop_tallies(self, profile_ids: Collection[UUID]) -> None:
        self.tallies = {key: row for key, row in self.tallies.items() if key[0] not in profile_ids}

    async def move_tallies(self, moves: Sequence[tuple[UUID, UUID]]) -> None:
        for old, new in moves:
            for key in [key for key in self.tallies if key[0] == old]:
                self.tallies[new, *key[1:]] = self.tallies.pop(key)

    def _give(self, rows: list[T]) -> list[T]:
        self.reads += len(rows)
        return rows
