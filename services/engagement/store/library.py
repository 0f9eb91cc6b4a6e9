"""Templates, campaigns and policies as people edit them, and messages as they read them: plain statements, no rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from libs.kit.db import Tx
from libs.kit.times import format_utc
from services.engagement.domain.templates import Template

_SAVE_TEMPLATE = """
insert into templates as t (id, name, subject, text, html, version, created_at, updated_at)
values ($1, $2, $3, $4, $5, 1, $6, $6)
on conflict (id) do update set name = excluded.name, subject = excluded.subject, text = excluded.text, html = excluded.html,
  version = t.version + 1, updated_at = excluded.updated_at
returning *
"""
_SAVE_CAMPAIGN = """
insert into campaigns (id, name, segment_id, template_id, purpose, sender, active, causes, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (id) do update set name = excluded.name, segment_id = excluded.segment_id, template_id = excluded.template_id,
  purpose = excluded.purpose, sender = excluded.sender, active = excluded.active, causes = excluded.causes
returning *
"""
_LIST_CAMPAIGNS = """
select c.*, coalesce((select jsonb_object_agg(state, n) from (
  select state, count(*) as n from messages m where m.campaign_id = c.id group by state) as counted), '{}') as messages
from campaigns c where c.id > $1 order by c.id limit $2
"""
_LIST_MESSAGES = """
select id, campaign_id, profile_id, segment_id, state, reason, recipient, subject, created_at, updated_at from messages
where ($1::uuid[] is null or fragment = any($1)) and ($2::text is null or campaign_id = $2) and ($3::text is null or state = $3)
  and ($4::timestamptz is null or (created_at, id) < ($4, $5::uuid))
order by created_at desc, id desc limit $6
"""


@dataclass(frozen=True, slots=True)
class MessageRow:
    id: UUID
    campaign_id: str
    profile_id: UUID
    segment_id: str
    state: str
    reason: str | None
    recipient: str | None
    subject: str | None
    created_at: datetime
    updated_at: datetime


class Library:
    """On PostgreSQL, in the caller's transaction."""

    async def save_template(self, tx: Tx, template: Template, now: datetime) -> dict[str, Any]:
        row = await tx.fetchrow(_SAVE_TEMPLATE, template.id, template.name, template.subject, template.text, template.html, now)
        return _plain(row)

    async def list_templates(self, tx: Tx, after: str, limit: int) -> list[dict[str, Any]]:
        """By id, beginning behind `after`."""
        return [_plain(row) for row in await tx.fetch("select * from templates where id > $1 order by id limit $2", after, limit)]

    async def has_template(self, tx: Tx, template_id: str) -> bool:
        return await tx.fetchval("select 1 from templates where id = $1", template_id) is not None

    async def save_campaign(self, tx: Tx, campaign: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        names = ("id", "name", "segment_id", "template_id", "purpose", "sender", "active", "causes")
        row = await tx.fetchrow(_SAVE_CAMPAIGN, *(campaign[name] for name in names), now)
        return _plain(row)

    async def list_campaigns(self, tx: Tx, after: str, limit: int) -> list[dict[str, Any]]:
        """By id, beginning behind `after`."""
        return [_plain(row) for row in await tx.fetch(_LIST_CAMPAIGNS, after, limit)]

    async def set_active(self, tx: Tx, campaign_id: str, *, active: bool) -> dict[str, Any] | None:
        row = await tx.fetchrow("update campaigns set active = $2 where id = $1 returning *", campaign_id, active)
        return _plain(row) if row is not None else None

    async def set_daily_cap(self, tx: Tx, daily_cap: int | None) -> None:
        await tx.execute(
            "insert into policies (id, daily_cap) values ('default', $1)"
            " on conflict (id) do update set daily_cap = excluded.daily_cap",
            daily_cap,
        )

    async def list_messages(
        self,
        tx: Tx,
        *,
        fragments: Sequence[UUID] | None,
        campaign: str | None,
        state: str | None,
        limit: int,
        before: tuple[datetime, UUID] | tuple[Any, ...] | None,
    ) -> list[MessageRow]:
        at, message_id = before or (None, None)
        owners = list(fragments) if fragments is not None else None
        return [MessageRow(*row) for row in await tx.fetch(_LIST_MESSAGES, owners, campaign, state, at, message_id, limit)]


def _plain(row: asyncpg.Record | None) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if row is None:
        return shown
    for name, value in row.items():
        if isinstance(value, datetime):
            shown[name] = format_utc(value)
        elif name == "messages":
            shown[name] = msgspec.json.decode(value)
        else:
            shown[name] = value
    return shown
