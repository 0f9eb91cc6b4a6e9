"""Accounts: the groups a customer was said to belong to, each with its traits, last writer wins one by one."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from libs.kit.ids import make_uuid8
from services.profile.domain.bounds import ACCOUNTS_SHOWN_BYTES, NAME_CHARS, STATED, Bounds, choose_shown, keep_least
from services.profile.domain.identity import is_verified_person
from services.profile.domain.touchpoint import Touchpoint
from services.profile.domain.traits import Said, Traits, fold_said, merge_said, read_object
from services.profile.domain.values import NULL, encode_json, render_time, to_micros

MOST_CLAIMED: Final = 100
"""Names of an account's traits that are only claimed; those with the least hashes stay."""


ACCOUNT_CHARS: Final = 256
"""A longer id is no account of the profile's view; the account itself is there."""
_COPIED_BYTES: Final = 512
_NAMED: Final = frozenset({"name"})


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


def fold_group(accounts: Accounts, account_id: str, traits: Raw, t_us: int, by: bytes, bounds: Bounds) -> None:
    """In the profile's copy: what the account itself knows stands in its own row."""
    if len(account_id) > ACCOUNT_CHARS:
        return
    account = accounts.get(account_id)
    if account is None:
        account = accounts[account_id] = Account(t_us, {})
    account.since_us = min(account.since_us, t_us)
    _fold_words(account.traits, traits, t_us, by, _COPIED_BYTES)
    keep_least(account.traits, bounds.account_names, _NAMED)
    keep_least(accounts, bounds.accounts)


def _fold_words(words: Traits, traits: Raw, t_us: int, by: bytes, most_bytes: int) -> None:
    for name, value in read_object(traits).items():
        if len(value) <= most_bytes and len(name) <= NAME_CHARS:
            fold_said(words, name, Said(t_us, by, None if value == NULL else value))


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
            _fold_words(words, touchpoint.traits, t_us, touchpoint.id.bytes, STATED.value_bytes)
            since_us = grouped.members.get((account_id, fragment), t_us)
            grouped.members[account_id, fragment] = min(since_us, t_us)
    for account in grouped.accounts.values():
        _bound_words(account)
    return grouped


def merge_stored(stored: bytes, account: Account) -> bytes:
    """What is stored of an account (b"": nothing yet) with what a batch says of it: the same in every order."""
    return _encode(account if not stored else _merge(_account.decode(stored), account))


def compute_account_key(account_id: str) -> UUID:
    """What an account's rows are found by: an id may be longer than an index takes."""
    return make_uuid8(sha256(account_id.encode()).digest()[:16])


def show_account(account_id: str, stored: bytes) -> dict[str, Any]:
    return _show(account_id, _account.decode(stored))


def join_accounts(parts: Iterable[Accounts]) -> Accounts:
    merged: Accounts = {}
    for part in parts:
        for account_id, account in part.items():
            known = merged.get(account_id)
            merged[account_id] = account if known is None else _merge(known, account)
    return merged


def bound_accounts(accounts: Accounts, bounds: Bounds) -> Accounts:
    keep_least(accounts, bounds.accounts)
    for account in accounts.values():
        keep_least(account.traits, bounds.account_names, _NAMED)
    return accounts


def render_accounts(accounts: Accounts) -> bytes:
    shown = {account_id: encode_json(_show(account_id, account)) for account_id, account in sorted(accounts.items())}
    fitting = choose_shown({account_id: len(account) for account_id, account in shown.items()}, ACCOUNTS_SHOWN_BYTES)
    return b"[%b]" % b",".join(account for account_id, account in shown.items() if account_id in fitting)


def _merge(a: Account, b: Account) -> Account:
    claimed = merge_said((a.claimed, b.claimed)) if a.claimed or b.claimed else {}
    merged = Account(min(a.since_us, b.since_us), merge_said((a.traits, b.traits)), claimed)
    _bound_words(merged)
    return merged


def _bound_words(account: Account) -> None:
    """In every batch and at every merge, so that it doesn't matter what came together."""
    keep_least(account.traits, STATED.traits, _NAMED)
    keep_least(account.claimed, MOST_CLAIMED, _NAMED)


def _show(account_id: str, account: Account) -> dict[str, Any]:
    words = {**account.claimed, **account.traits}
    traits = {name: Raw(word.value) for name, word in sorted(words.items()) if word.value is not None}
    return {"id": account_id, "name": traits.get("name"), "since": Raw(render_time(account.since_us)), "traits": traits}
