"""Points on the real database: what orders are worth, in any order of arrival, over merges, and what can be spent."""

from collections.abc import AsyncIterator, Sequence
from itertools import count, permutations
from uuid import UUID, uuid4

import pytest

from libs.events.profiles import ProfileChanged
from libs.events.touchpoints import TouchpointRecorded
from libs.kit.clock import FakeClock
from libs.kit.db import Database
from libs.kit.ids import build_id_factory
from libs.subscriber import Arrivals
from libs.subscriber.roots import lock_roots
from services.loyalty.consumer import build_handlers
from services.loyalty.domain.ledger import InsufficientPoints
from services.loyalty.domain.programs import DEFAULT_PROGRAM
from services.loyalty.handlers import Loyalty, Redeemed, redeem_points
from services.loyalty.store import PostgresLedger
from tests.builders.changes import NOON, make_change, make_order, make_touchpoint, read_events, to_record
from tests.support.services import open_schema


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with open_schema(database_dsn, "loyalty") as opened:
        yield opened


@pytest.fixture
def loyalty() -> Loyalty:
    clock = FakeClock(NOON)
    return Loyalty(DEFAULT_PROGRAM, PostgresLedger(), clock, build_id_factory(clock))


async def apply(database: Database, loyalty: Loyalty, *changes: ProfileChanged) -> list[object]:
    """One poll; what it would publish."""
    handlers = build_handlers(loyalty, Arrivals(database, loyalty.clock))
    async with database.transaction() as tx:
        result = await handlers["profile-changes"](tx, [to_record(change) for change in changes])
    return read_events(list(result.outgoing))


async def balance_of(database: Database, *fragments: UUID) -> int:
    async with database.connection() as tx:
        return sum(entry.balance for entry, _ in (await PostgresLedger().load_balances(tx, fragments)).values())


async def assert_the_ledger_is_whole(database: Database) -> None:
    """Balances are exactly what the transfers say, and points held for orders are what the accounts hold (redemptions apart)."""
    async with database.connection() as tx:
        wrong = await tx.fetch(
            """
            with moved as (
              select credit as account, points from transfers union all select debit, -points from transfers
            ), summed as (select account, sum(points) as balance from moved group by account)
            select account from balances full join summed using (account)
            where balances.balance is distinct from summed.balance and account > '00000000-0000-8000-8000-000000000002'
            """
        )
    assert wrong == []


HISTORY = (
    make_touchpoint("Order Completed", minute=0, order=make_order("completed", "o1", "100.90")),
    make_touchpoint("Order Updated", minute=1, order=make_order("updated", "o1", "80.50")),
    make_touchpoint("Order Refunded", minute=2, order=make_order("refunded", "o1", "10.00", refund_id="r1")),
    make_touchpoint("Order Completed", minute=3, order=make_order("completed", "o2", "5.99", currency="USD")),
    make_touchpoint("Order Cancelled", minute=4, order=make_order("cancelled", "o2")),
)
WORTH = 70  # floor(80.50 - 10.00), the cancelled order nothing


@pytest.mark.parametrize("order", list(permutations(range(len(HISTORY))))[::7])
async def test_points_are_the_same_for_every_order_of_arrival(database: Database, loyalty: Loyalty, order: Sequence[int]) -> None:
    profile, fragment = uuid4(), uuid4()
    touchpoints = [again(HISTORY[place]) for place in order]
    for version, touchpoint in enumerate(touchpoints, start=1):
        await apply(database, loyalty, make_change(profile, version, fragments=(fragment,), applied=((fragment, touchpoint),)))
    assert await balance_of(database, fragment) == WORTH
    await assert_the_ledger_is_whole(database)


def again(touchpoint: TouchpointRecorded) -> TouchpointRecorded:
    """The same story told of somebody else."""
    return make_touchpoint(touchpoint.name, minute=touchpoint.occurred_at.minute, order=touchpoint.order)


async def test_a_redelivered_record_gives_no_points_twice(database: Database, loyalty: Loyalty) -> None:
    profile, fragment = uuid4(), uuid4()
    change = make_change(profile, 1, fragments=(fragment,), applied=((fragment, again(HISTORY[0])),))
    told = await apply(database, loyalty, change)
    assert [(event.balance, event.delta, event.version) for event in told] == [(100, 100, 1)]
    assert await apply(database, loyalty, change) == []
    assert await apply(database, loyalty, change, change) == []
    assert await balance_of(database, fragment) == 100


@pytest.mark.parametrize("merged_first", [True, False])
async def test_a_refund_known_to_another_fragment_counts_once_the_profiles_are_one(
    database: Database, loyalty: Loyalty, *, merged_first: bool
) -> None:
    ada, device = uuid4(), uuid4()
    fragment, other = uuid4(), uuid4()
    versions = count(1)

    async def buy_and_return() -> None:
        await apply(
            database, loyalty, make_change(ada, next(versions), fragments=(fragment,), applied=((fragment, again(HISTORY[0])),))
        )
        refund = make_touchpoint("Order Refunded", minute=9, order=make_order("refunded", "o1", "40.50"))
        await apply(database, loyalty, make_change(device, next(versions), fragments=(other,), applied=((other, refund),)))

    async def merge() -> list[object]:
        version = next(versions) + 100
        return await apply(
            database,
            loyalty,
            make_change(ada, version, fragments=(fragment, other), membership=2),
            make_change(device, version, fragments=(), founding=other, absorbed_into=ada, causes=("merge",)),
        )

    if merged_first:
        await apply(database, loyalty, make_change(ada, next(versions), fragments=(fragment, other), membership=2))
        await buy_and_return()
        await merge()
    else:
        await buy_and_return()
        assert await balance_of(database, fragment, other) == 100, "a refund of an unknown order lowers nobody's points"
        told = await merge()
        assert [(event.profile_id, event.balance, event.cause) for event in told] == [(ada, 60, "merge")]
    assert await balance_of(database, fragment, other) == 60
    await assert_the_ledger_is_whole(database)


async def test_a_refund_that_comes_to_name_another_order_moves_the_points_of_both(database: Database, loyalty: Loyalty) -> None:
    profile, fragment = uuid4(), uuid4()
    orders = [make_touchpoint("Order Completed", order=make_order("completed", name, "50")) for name in ("a", "b")]
    first = make_touchpoint("Order Refunded", minute=1, order=make_order("refunded", "a", "20", refund_id="r"))
    second = make_touchpoint("Order Refunded", minute=2, order=make_order("refunded", "b", "30", refund_id="r"))
    for version, touchpoint in enumerate((*orders, first), start=1):
        await apply(database, loyalty, make_change(profile, version, fragments=(fragment,), applied=((fragment, touchpoint),)))
    assert await balance_of(database, fragment) == 80
    await apply(database, loyalty, make_change(profile, 9, fragments=(fragment,), applied=((fragment, second),)))
    assert await balance_of(database, fragment) == 70


async def test_a_probe_is_answered_though_nothing_moved(database: Database, loyalty: Loyalty) -> None:
    profile, fragment = uuid4(), uuid4()
    change = make_change(profile, 5, fragments=(fragment,))
    assert await apply(database, loyalty, change) == []
    (answer,) = await apply(database, loyalty, make_change(profile, 5, fragments=(fragment,), probe=True))
    assert (answer.cause, answer.profile_version, answer.balance) == ("probe", 5, 0)


async def test_a_burn_takes_what_the_fragments_have_together_and_no_more(database: Database, loyalty: Loyalty) -> None:
    profile, first, second = uuid4(), uuid4(), uuid4()
    await apply(
        database,
        loyalty,
        make_change(profile, 1, fragments=(first, second), applied=((first, again(HISTORY[0])),)),
        make_change(
            profile,
            2,
            fragments=(first, second),
            applied=((second, make_touchpoint("Order Completed", order=make_order("completed", "o9", "30"))),),
        ),
    )
    async with database.transaction() as tx:
        member = (await lock_roots(tx, [profile]))[profile]
        refused, _ = await redeem_points(tx, member, 131, None, loyalty)
        burnt, told = await redeem_points(tx, member, 120, "voucher", loyalty)
    assert refused == InsufficientPoints(balance=130, asked=131)
    assert isinstance(burnt, Redeemed)
    assert burnt.balance == 10
    (event,) = read_events(told)
    assert (event.balance, event.delta, event.cause, event.lifetime) == (10, -120, "redemption", 130)
    await assert_the_ledger_is_whole(database)
