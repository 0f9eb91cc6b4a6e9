"""Accounts: the groups a customer was said to belong to, each with its traits, last writer wins one by one."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from libs.kit.ids import make_uuid8
from services.profile.domain.bounds import NAMES_MAX, SHOWN_BYTES, VALUE_BYTES, choose_shown, keep_least
from services.profile.domain.identity import is_verified_person
from services.profile.domain.touchpoint import Touchpoint
from services.profile.domain.traits import Said, Traits, bound_traits, fold_said, merge_said, merge_traits, read_object
from services.profile.domain.values import NULL, encode_json, render_time, to_micros

MOST_CLAIMED: Final = 100
"""Names of traits that are only claimed; the least by name stay, so that it doesn't matter which came first."""


class Account(Struct, array_like=True):
    """`since_us`: the first group call that named it. `claimed`: what browsers alone say of an account that is everybody's."""

    since_us: int
    traits: Traits
    claimed: Traits = {}


Accounts = dict[str, Account]


class Grouped(Struct):
    """What a batch says of accounts. `members`: (account id, fragment) -> the first group call that named it there."""

    accounts: Accounts
    members: dict[tuple[str, UUID], int]


_encode = msgspec.msgpack.Encoder().encode
_account = msgspec.msgpack.Decoder(Account)


def fold_group(accounts: Accounts, account_id: str, traits: Raw, t_us: int, by: bytes) -> None:
    _fold_account(accounts, account_id, traits, t_us, by)
    keep_least(accounts, NAMES_MAX)


def _fold_account(accounts: Accounts, account_id: str, traits: Raw, t_us: int, by: bytes) -> None:
    account = accounts.get(account_id)
    if account is None:
        account = accounts[account_id] = Account(t_us, {})
    account.since_us = min(account.since_us, t_us)
    _fold_words(account.traits, traits, t_us, by)


def _fold_words(words: Traits, traits: Raw, t_us: int, by: bytes) -> None:
    for name, value in read_object(traits).items():
        if len(value) <= VALUE_BYTES:
            fold_said(words, name, Said(t_us, by, None if value == NULL else value))
    bound_traits(words)


def collect_grouped(applied: Iterable[tuple[UUID, Touchpoint]]) -> Grouped:
    """All that these touchpoints, each with the fragment it is folded in, say of accounts, whichever profiles are theirs.

    An account is everybody's, and a website's key is no secret: what only a browser says fills in where no server has a word.
    """
    grouped = Grouped({}, {})
    for fragment, touchpoint in applied:
        if touchpoint.kind == "group" and touchpoint.group_id is not None:
            account_id, t_us = touchpoint.group_id, to_micros(touchpoint.occurred_at)
            account = grouped.accounts.setdefault(account_id, Account(t_us, {}))
            account.since_us = min(account.since_us, t_us)
            words = account.traits if is_verified_person(touchpoint.identifiers[0]) else account.claimed
            _fold_words(words, touchpoint.traits, t_us, touchpoint.id.bytes)
            since_us = grouped.members.get((account_id, fragment), t_us)
            grouped.members[account_id, fragment] = min(since_us, t_us)
    for account in grouped.accounts.values():
        account.claimed = _bound(account.claimed)
    return grouped


def merge_stored(stored: bytes, account: Account) -> bytes:
    """What is stored of an account (b"": nothing yet) with what a batch says of it: the same in every order."""
    return _encode(account if not stored else _merge(_account.decode(stored), account))


def compute_account_key(account_id: str) -> UUID:
    """What an account's rows are found by: an id may be longer than an index takes."""
    return make_uuid8(sha256(account_id.encode()).digest()[:16])


def show_account(account_id: str, stored: bytes) -> dict[str, Any]:
    return _show(account_id, _account.decode(stored))


def merge_accounts(parts: Iterable[Accounts]) -> Accounts:
    merged: Accounts = {}
    for part in parts:
        for account_id, account in part.items():
            known = merged.get(account_id)
            merged[account_id] = account if known is None else _merge(known, account)
    keep_least(merged, NAMES_MAX)
    return merged


def render_accounts(accounts: Accounts) -> bytes:
    shown = {account_id: encode_json(_show(account_id, account)) for account_id, account in sorted(accounts.items())}
    fitting = choose_shown({account_id: len(account) for account_id, account in shown.items()}, SHOWN_BYTES)
    return b"[%b]" % b",".join(account for account_id, account in shown.items() if account_id in fitting)


def _merge(a: Account, b: Account) -> Account:
    claimed = _bound(merge_said((a.claimed, b.claimed))) if a.claimed or b.claimed else {}
    return Account(min(a.since_us, b.since_us), merge_traits((a.traits, b.traits)), claimed)


def _bound(claimed: Traits) -> Traits:
    return claimed if len(claimed) <= MOST_CLAIMED else {name: claimed[name] for name in sorted(claimed)[:MOST_CLAIMED]}


def _show(account_id: str, account: Account) -> dict[str, Any]:
    words = {**account.claimed, **account.traits}
    traits = {name: Raw(word.value) for name, word in sorted(words.items()) if word.value is not None}
    return {"id": account_id, "name": traits.get("name"), "since": Raw(render_time(account.since_us)), "traits": traits}
