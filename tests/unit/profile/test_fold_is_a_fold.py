"""However touchpoints come, are batched, and profiles are merged: the view is what the plain reference says of the history."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.touchpoints import TouchpointRecorded
from tests.builders.touchpoints import make_fragment
from tests.fakes.fact_rows import FakeFactRows
from tests.support.fold_histories import FRAGMENTS, KINDS, histories
from tests.support.folding import FoldingBook, score_by_length_exactly
from tests.support.profile_reference import compute_core

History = list[tuple[UUID, TouchpointRecorded]]
ALL = [make_fragment(*named.split(":", 1)) for named in FRAGMENTS]
JOINS = st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from(ALL)), max_size=2)


def reference_of(history: History, members: tuple[UUID, ...]) -> dict[str, Any]:
    return compute_core([(touchpoint, ()) for fragment, touchpoint in history if fragment in members], score_by_length_exactly)


def check(book: FoldingBook, applied: History) -> None:
    for members in book.groups():
        mine = [one for one in applied if one[0] in members]
        if mine:
            assert book.view(members[0]) == reference_of(applied, members)


async def live(history: History, data: st.DataObject, *, keep_core: bool = True) -> FoldingBook:
    book = FoldingBook(FakeFactRows(), keep_core=keep_core)
    applied: History = []
    while len(applied) < len(history):
        size = data.draw(st.integers(1, 6))
        batch = history[len(applied) : len(applied) + size]
        await book.apply(batch, joined=data.draw(JOINS))
        applied += batch
        check(book, applied)
    return book


@given(history=histories(), data=st.data())
def test_every_batching_and_merging_gives_the_reference(history: History, data: st.DataObject) -> None:
    asyncio.run(live(history, data))


@pytest.mark.parametrize("kind", ["order", "activity"])
@given(data=st.data())
def test_what_is_hard_alone_gives_the_reference(kind: str, data: st.DataObject) -> None:
    asyncio.run(live(data.draw(histories(kind, max_size=30)), data))


@given(
    history=histories("tangle", max_size=14, fragments=FRAGMENTS[:2]), sizes=st.lists(st.integers(1, 3), min_size=14, max_size=14)
)
def test_refunds_that_change_sides_between_two_fragments_give_the_reference(history: History, sizes: list[int]) -> None:
    async def run() -> None:
        book = FoldingBook(FakeFactRows())
        await book.apply(joined=[(ALL[0], ALL[1])])
        applied: History = []
        for size in sizes:
            batch = history[len(applied) : len(applied) + size]
            if batch:
                await book.apply(batch)
                applied += batch
                check(book, applied)

    asyncio.run(run())


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"order", "activity", "tangle"}))
@given(data=st.data())
def test_each_kind_alone_gives_the_reference(kind: str, data: st.DataObject) -> None:
    asyncio.run(live(data.draw(histories(kind)), data))


@given(history=histories(), data=st.data())
def test_a_rebuild_from_states_and_rows_changes_nothing(history: History, data: st.DataObject) -> None:
    async def run() -> None:
        book = await live(history, data)
        views = {members[0]: book.view(members[0]) for members in book.groups()}
        await book.apply(rebuild=True)
        assert {fragment: book.view(fragment) for fragment in views} == views
        await book.apply(joined=[(ALL[0], other) for other in ALL[1:]])
        check(book, history)

    asyncio.run(run())


@given(history=histories(), data=st.data())
def test_rendering_only_what_was_touched_is_rendering_all(history: History, data: st.DataObject) -> None:
    asyncio.run(live(history, data, keep_core=False))


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kinds", [(), ("order",), ("activity",), ("tangle", "order")])
@given(data=st.data())
@settings(max_examples=5000, deadline=None)
def test_the_long_run_gives_the_reference(kinds: tuple[str, ...], data: st.DataObject) -> None:
    asyncio.run(live(data.draw(histories(*kinds, max_size=40)), data))
