"""The stores in memory, for tests without a database. They pass the real ones' contract suite."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from services.ingest.ports import ParkedRejection, Place, RejectionBounds, RejectionFilter, RejectionGroup

if TYPE_CHECKING:
    from libs.kit.db import Tx


class FakeRejections:
    """See services.ingest.ports.RejectionStore. Nothing is rolled back."""

    def __init__(self) -> None:
        self._rows: dict[UUID, ParkedRejection] = {}
        self._replayed: set[UUID] = set()

    async def add(self, _tx: "Tx", rejections: Sequence[ParkedRejection]) -> set[UUID]:
        added: set[UUID] = set()
        for rejection in rejections:
            if rejection.id not in self._rows:
                self._rows[rejection.id] = rejection
                added.add(rejection.id)
        return added

    async def find(self, _tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        rows = sorted(self._matching(where), key=_place_of, reverse=True)
        return [row for row in rows if after is None or _place_of(row) < after][:limit]

    async def lock(self, tx: "Tx", where: RejectionFilter, *, after: Place | None, limit: int) -> list[ParkedRejection]:
        return await self.find(tx, where, after=after, limit=limit)

    async def count_reasons(self, _tx: "Tx", where: RejectionFilter) -> Mapping[str, int]:
        return dict(sorted(Counter(row.reason for row in self._matching(where)).items()))

    async def summarise(self, _tx: "Tx", where: RejectionFilter, *, samples: int) -> list[RejectionGroup]:
        groups: dict[tuple[str, str], list[ParkedRejection]] = {}
        for row in sorted(self._matching(where), key=_place_of, reverse=True):
            groups.setdefault((row.source_id, row.reason), []).append(row)
        made = [
            RejectionGroup(*key, len(rows), rows[-1].received_at, rows[0].received_at, rows[:samples])
            for key, rows in groups.items()
        ]
        return sorted(made, key=lambda group: (-group.total, group.source_id, group.reason))

    async def mark_replayed(self, _tx: "Tx", ids: Sequence[UUID], _now: datetime) -> None:
        for rejection_id in ids:
            self._replayed.add(rejection_id)
            self._rows[rejection_id] = replace(self._rows[rejection_id], body=b"")

    async def update_reason(self, _tx: "Tx", rejection_id: UUID, reason: str, detail: str) -> None:
        self._rows[rejection_id] = replace(self._rows[rejection_id], reason=reason, detail=detail)

    async def trim(self, _tx: "Tx", bounds: RejectionBounds) -> int:
        places: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        doomed = []
        for row in sorted(self._rows.values(), key=_place_of, reverse=True):
            places[row.source_id] += 1
            sizes[row.source_id] += len(row.body)
            too_many = places[row.source_id] > bounds.max_per_source or sizes[row.source_id] > bounds.max_bytes_per_source
            if too_many or row.received_at < bounds.received_after:
                doomed.append(row.id)
        for rejection_id in doomed:
            del self._rows[rejection_id]
        return len(doomed)

    def _matching(self, where: RejectionFilter) -> list[ParkedRejection]:
        return [
            row
            for row in self._rows.values()
            if row.id not in self._replayed
            and (where.source_id is None or row.source_id == where.source_id)
            and (where.reason is None or row.reason == where.reason)
            and (where.since is None or row.received_at >= where.since)
            and (where.until is None or row.received_at < where.until)
            and (where.ids is None or row.id in where.ids)
        ]


def _place_of(row: ParkedRejection) -> Place:
    return Place(row.received_at, row.id)
