"""Accounts: the groups a customer was said to belong to, each with its traits, last writer wins one by one."""

from collections.abc import Iterable
from typing import Any

from msgspec import Raw, Struct

from services.profile.domain.traits import Said, Traits, fold_said, merge_said, read_object
from services.profile.domain.values import NULL, encode_json, render_time


class Account(Struct, array_like=True):
    """`since_us`: the first group call that named it."""

    since_us: int
    traits: Traits


Accounts = dict[str, Account]


def fold_group(accounts: Accounts, account_id: str, traits: Raw, t_us: int, by: bytes) -> None:
    account = accounts.get(account_id)
    if account is None:
        account = accounts[account_id] = Account(t_us, {})
    account.since_us = min(account.since_us, t_us)
    for name, value in read_object(traits).items():
        fold_said(account.traits, name, Said(t_us, by, None if value == NULL else value))


def merge_accounts(parts: Iterable[Accounts]) -> Accounts:
    merged: Accounts = {}
    for part in parts:
        for account_id, account in part.items():
            known = merged.get(account_id)
            merged[account_id] = account if known is None else _merge(known, account)
    return merged


def render_accounts(accounts: Accounts) -> bytes:
    return encode_json([_show(account_id, account) for account_id, account in sorted(accounts.items())])


def _merge(a: Account, b: Account) -> Account:
    return Account(min(a.since_us, b.since_us), merge_said((a.traits, b.traits)))


def _show(account_id: str, account: Account) -> dict[str, Any]:
    traits = {name: Raw(word.value) for name, word in sorted(account.traits.items()) if word.value is not None}
    return {"id": account_id, "name": traits.get("name"), "since": Raw(render_time(account.since_us)), "traits": traits}
