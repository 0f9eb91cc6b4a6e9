"""The tables of a running profile service, in the form that the dictionaries of tests/fakes/profile_store.py have."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.profile_store import (
    BanRow,
    FakeProfileStore,
    FragmentRow,
    HistoryRow,
    LinkRow,
    ProfileStored,
    RefusalRow,
    TimelineRow,
)

Fetch = Callable[[str], Awaitable[list[Any]]]


async def read_tables(fetch: Fetch) -> FakeProfileStore:
    """What PostgreSQL holds, in the form the dictionaries have."""
    store = FakeProfileStore()
    store.touchpoints = {row[0] for row in await fetch("SELECT id FROM touchpoints")}
    for id_, *fragment in await fetch("SELECT id, kind, value, epoch, profile_id, state FROM fragments"):
        store.fragments[id_] = FragmentRow(*fragment)
    rows = await fetch(
        "SELECT id, founding, founded, version, members, absorbed_into, causes, nodes, totals, identifiers, core, facets"
        " FROM profiles"
    )
    for id_, founding, founded, version, members, *rest in rows:
        store.profiles[id_] = ProfileStored(founding, founded, version, frozenset(members), *rest)
    for address, *epoch in await fetch("SELECT address, fragment, epoch FROM epochs"):
        store.epochs[address] = (epoch[0], epoch[1])
    for a, b, *link in await fetch("SELECT a, b, received_max, vouched_max, by_alias, applied FROM links"):
        store.links[a, b] = LinkRow(*link)
    for a, b, until, ban_id in await fetch("SELECT a, b, nullif(void_until, 'infinity'), ban_id FROM bans"):
        store.bans[a, b] = BanRow(until, ban_id)
    for id_, reason, own, gone, applied in await fetch("SELECT touchpoint_id, reason, own, fragments, applied FROM refusals"):
        store.refusals[id_, reason] = RefusalRow(own, frozenset(gone), applied)
    for applied, other, kind, id_, named, command_id in await fetch(
        "SELECT applied, other_id, kind, profile_id, fragments, command_id FROM history"
    ):
        store.history[applied, other] = HistoryRow(kind, id_, tuple(named), command_id)
    for id_, fragment, applied, body in await fetch("SELECT id, fragment, applied, body FROM timeline"):
        store.timeline[id_] = TimelineRow(fragment, applied, body)
    store.trait_keys = {id_: tuple(keys) for id_, keys in await fetch("SELECT profile_id, keys FROM trait_keys")}
    store.names = {id_: (name, tuple(keys)) for id_, name, keys in await fetch("SELECT profile_id, name, keys FROM names")}
    names = dict(await fetch("SELECT key, id FROM accounts"))
    store.accounts = dict(await fetch("SELECT id, state FROM accounts"))
    for key, fragment, since_us in await fetch("SELECT account, fragment, since_us FROM account_members"):
        store.account_members[names[key], fragment] = since_us
    [(store.applications,)] = await fetch("SELECT last_value FROM applications")
    return store
