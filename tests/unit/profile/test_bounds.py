"""What senders' own keys may fill: the same stays whatever came first, and a view fits into a record."""

import asyncio
import json
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import uuid5

import pytest
from msgspec.structs import replace

from libs.events.touchpoints import ConsentStatement, TouchpointRecorded
from services.profile.domain.accounts import MOST_CLAIMED, collect_grouped, merge_stored, show_account
from services.profile.domain.bounds import ACCOUNTS_SHOWN_BYTES, STATED, TRAITS_SHOWN_BYTES
from tests.builders.touchpoints import make_fragment, make_touchpoint
from tests.fakes.fact_rows import FakeFactRows
from tests.support.folding import FoldingBook

ME, DEVICE = make_fragment("user_id", "u1"), make_fragment("anonymous_id", "d1")
RECORD_BYTES = 1_048_588
IDENTIFIERS_BYTES = 1_000 * 260 + 128 * 1024
TOUCHPOINTS_BYTES = 64 * 1024


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
    found: dict[str, Any] = views[0]
    return found


def test_of_too_many_traits_the_same_stay_in_every_order_and_the_standard_ones_always() -> None:
    names = [f"custom_{number}" for number in range(STATED.traits + 200)]
    touchpoints = [identify(number, dict.fromkeys(names[number * 70 : number * 70 + 70], number)) for number in range(10)]
    view = told_in_every_way([*touchpoints, identify(20, {"first_name": "Ada", "country": "DE"})])
    assert view["traits"].items() >= {"first_name": "Ada", "country": "DE"}.items()
    assert len(view["traits"]) == STATED.traits + 2


def test_traits_that_are_too_much_together_are_shown_as_far_as_they_fit() -> None:
    touchpoints = [
        identify(number, {f"custom_{number}_{one}": "\u0001" * 600 for one in range(8)} | {"first_name": "Ada"})
        for number in range(20)
    ]
    traits = told_in_every_way(touchpoints)["traits"]
    assert traits["first_name"] == "Ada"
    assert TRAITS_SHOWN_BYTES * 0.9 < len(json.dumps(traits)) < TRAITS_SHOWN_BYTES * 1.1


@pytest.mark.parametrize(("length", "is_kept"), [(STATED.value_bytes - 2, True), (STATED.value_bytes - 1, False)])
def test_a_value_that_is_too_long_states_nothing(length: int, is_kept: bool) -> None:
    view = told_in_every_way([identify(1, {"note": "short"}), identify(2, {"note": "x" * length, "n" * 200: 1})])
    assert view["traits"] == {"note": "x" * length if is_kept else "short"}


def join(number: int, name: str, by: str = "user_id:u1") -> TouchpointRecorded:
    return make_touchpoint(number + 1, kind="group", by=[by], at=number % 50, group_id=f"account-{number}", traits={"name": name})


def test_of_too_many_accounts_the_same_stay() -> None:
    accounts = told_in_every_way([join(number, "x" * 400) for number in range(STATED.accounts + 30)])["accounts"]
    assert 50 < len(accounts) <= STATED.accounts
    assert len(json.dumps(accounts)) < ACCOUNTS_SHOWN_BYTES * 1.2


def consent(number: int, *purposes: str, channel: str = "*") -> TouchpointRecorded:
    return make_touchpoint(number + 1, at=number, consent=[ConsentStatement(one, channel, "granted") for one in purposes])


def test_of_too_many_purposes_and_channels_of_consent_the_same_stay() -> None:
    touchpoints = [consent(number, *(f"purpose-{number}-{one}" for one in range(20))) for number in range(8)]
    assert len(told_in_every_way(touchpoints)["consent"]) == STATED.purposes
    touchpoints = [consent(number, "marketing", channel=f"channel-{number}") for number in range(30)]
    entries = told_in_every_way(
        [*touchpoints, consent(40, "marketing"), consent(41, "x" * 200), consent(42, "marketing", channel="y" * 90)]
    )
    assert len(entries["consent"]) == 13
    assert ("marketing", "*") in {(entry["purpose"], entry["channel"]) for entry in entries["consent"]}


def claim(touchpoint: TouchpointRecorded) -> TouchpointRecorded:
    """As a browser would say it of somebody else."""
    return replace(
        touchpoint, id=uuid5(touchpoint.id, "claim"), identifiers=(replace(touchpoint.identifiers[0], verified=False),)
    )


def test_what_browsers_claim_displaces_nothing_that_servers_said_and_all_at_once_fits_into_a_record() -> None:
    own = [
        identify(0, {f"own_{number}": "x" * 180 for number in range(STATED.traits)}),
        consent(1, *(f"own-{number}" for number in range(STATED.purposes))),
        *(join(number, "own") for number in range(STATED.accounts)),
        make_touchpoint(900, name="Lead Stage Changed", at=900, properties={"stage": "s" * 5_000}),
    ]
    claims = [
        *(claim(identify(200 + number, {f"c{number}_{one}": "\u0001" * 80 for one in range(60)})) for number in range(20)),
        *(claim(consent(300 + number, *(f"c{number}-{one}" for one in range(40)))) for number in range(10)),
        *(claim(join(400 + number, "y" * 480)) for number in range(60)),
        *(
            claim(make_touchpoint(500 + number, name="Lead Stage Changed", at=number, properties={"stage": f"{number}" * 9_000}))
            for number in range(40)
        ),
        claim(identify(600, {"first_name": "Eve"})),
    ]
    view = told_in_every_way([*own, *claims])
    assert {f"own_{number}" for number in range(STATED.traits)} <= view["traits"].keys()
    assert view["traits"]["first_name"] == "Eve"
    assert {f"own-{number}" for number in range(STATED.purposes)} <= {entry["purpose"] for entry in view["consent"]}
    assert {f"account-{number}" for number in range(STATED.accounts)} <= {account["id"] for account in view["accounts"]}
    assert len(json.dumps(view)) + IDENTIFIERS_BYTES + TOUCHPOINTS_BYTES < RECORD_BYTES


@pytest.mark.parametrize(("verified", "most"), [(True, STATED.traits), (False, MOST_CLAIMED)])
def test_what_an_account_knows_is_the_same_in_one_batch_and_in_many(verified: bool, most: int) -> None:
    calls = [
        make_touchpoint(number + 1, kind="group", group_id="acme", traits={f"t{number}_{one}": one for one in range(70)})
        for number in range(10)
    ]
    told = [(ME, call if verified else claim(call)) for call in calls]
    at_once = merge_stored(b"", collect_grouped(told).accounts["acme"])
    one_by_one = b""
    for one in told:
        one_by_one = merge_stored(one_by_one, collect_grouped([one]).accounts["acme"])
    assert show_account("acme", at_once) == show_account("acme", one_by_one)
    assert len(show_account("acme", at_once)["traits"]) == most
