"""What senders' own keys may fill: the same stays whatever came first, and a view fits into a record."""

import asyncio
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from libs.events.touchpoints import ConsentStatement, TouchpointRecorded
from services.profile.domain.bounds import NAMES_MAX, SHOWN_BYTES, VALUE_BYTES
from services.profile.domain.consent import PURPOSES_MAX
from tests.builders.touchpoints import make_fragment, make_touchpoint
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook

ME, DEVICE = make_fragment("user_id", "u1"), make_fragment("anonymous_id", "d1")
RECORD_BYTES = 1_048_588


def identify(number: int, traits: dict[str, Any]) -> TouchpointRecorded:
    return make_touchpoint(number + 1, kind="identify", at=number, traits=traits)


def told_in_every_way(touchpoints: Sequence[TouchpointRecorded]) -> dict[str, Any]:
    """The view, which must be the same forwards, backwards, mixed, and over two fragments that are joined in the end."""
    views = []
    mixed = list(touchpoints)
    Random(1).shuffle(mixed)
    for order in (list(touchpoints), list(reversed(touchpoints)), mixed):
        for fragments in ((ME, ME), (ME, DEVICE)):
            told = [(fragments[number % 2], touchpoint) for number, touchpoint in enumerate(order)]
            book = FoldingBook(FakeFactRows())
            for batch in (told[: len(told) // 3], told[len(told) // 3 :]):
                asyncio.run(book.apply(batch))
            asyncio.run(book.apply(joined=[(ME, DEVICE)] if DEVICE in fragments else []))
            views.append(book.view(ME))
    assert all(view == views[0] for view in views)
    assert len(json.dumps(views[0])) < RECORD_BYTES * 3 / 4
    found: dict[str, Any] = views[0]
    return found


def test_of_too_many_traits_the_same_stay_in_every_order_and_the_standard_ones_always() -> None:
    names = [f"custom_{number}" for number in range(NAMES_MAX + 200)]
    touchpoints = [identify(number, dict.fromkeys(names[number * 100 : number * 100 + 100], number)) for number in range(12)]
    view = told_in_every_way([*touchpoints, identify(20, {"first_name": "Ada", "country": "DE"})])
    assert view["traits"].items() >= {"first_name": "Ada", "country": "DE"}.items()
    assert len(view["traits"]) == NAMES_MAX + 2


def test_traits_that_are_too_much_together_are_shown_as_far_as_they_fit() -> None:
    touchpoints = [
        identify(number, {f"custom_{number}_{one}": "x" * 6_000 for one in range(5)} | {"first_name": "Ada"})
        for number in range(20)
    ]
    traits = told_in_every_way(touchpoints)["traits"]
    assert traits["first_name"] == "Ada"
    assert SHOWN_BYTES * 0.9 < len(json.dumps(traits)) < SHOWN_BYTES * 1.1


@pytest.mark.parametrize(("length", "is_kept"), [(VALUE_BYTES - 2, True), (VALUE_BYTES - 1, False)])
def test_a_value_that_is_too_long_states_nothing(length: int, is_kept: bool) -> None:
    view = told_in_every_way([identify(1, {"note": "short"}), identify(2, {"note": "x" * length})])
    assert view["traits"]["note"] == ("x" * length if is_kept else "short")


def test_of_too_many_accounts_the_same_stay() -> None:
    touchpoints = [
        make_touchpoint(number + 1, kind="group", at=number % 50, group_id=f"account-{number}", traits={"name": "x" * 1_000})
        for number in range(NAMES_MAX + 30)
    ]
    accounts = told_in_every_way(touchpoints)["accounts"]
    assert 100 < len(accounts) < NAMES_MAX
    assert len(json.dumps(accounts)) < SHOWN_BYTES * 1.2


def test_of_too_many_purposes_of_consent_the_same_stay() -> None:
    touchpoints = [
        make_touchpoint(
            number + 1, at=number, consent=[ConsentStatement(f"purpose-{number}-{one}", "*", "granted") for one in range(20)]
        )
        for number in range(8)
    ]
    assert len(told_in_every_way(touchpoints)["consent"]) == PURPOSES_MAX
