"""One customer folded in every way at once: together, one by one, backwards, and by the plain reference. All must agree."""

import asyncio
from collections.abc import Sequence
from typing import Any

from libs.events.touchpoints import TouchpointRecorded
from services.profile.domain.traits import Refused
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook, score_by_length_exactly
from tests.support.profile_reference import compute_core


def fold(*touchpoints: TouchpointRecorded, refused: dict[Any, Refused] | None = None) -> dict[str, Any]:
    """The view after these touchpoints of one profile, each folded in the fragment of its first identifier."""
    told = [(touchpoint.identifiers[0].fragment, touchpoint) for touchpoint in touchpoints]
    fragments = sorted({fragment for fragment, _ in told})
    expected = compute_core(
        [(touchpoint, (refused or {}).get(touchpoint.id, ())) for touchpoint in touchpoints], score_by_length_exactly
    )

    async def run(batches: Sequence[Sequence[Any]], *, join_last: bool) -> None:
        book = FoldingBook(FakeFactRows())
        joins = [(fragments[0], other) for other in fragments[1:]]
        if not join_last:
            await book.apply(joined=joins)
        for batch in batches:
            await book.apply(batch, refused=refused)
        await book.apply(joined=joins)
        assert book.view(fragments[0]) == expected

    for batches in ([told], [[one] for one in told], [[one] for one in reversed(told)]):
        asyncio.run(run(batches, join_last=False))
        asyncio.run(run(batches, join_last=True))
    return expected


def aggregates(*touchpoints: TouchpointRecorded) -> dict[str, Any]:
    found: dict[str, Any] = fold(*touchpoints)["aggregates"]
    return found
