"""PostgreSQL behind the engagement ports: set-based, on the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.kit.db import Tx
from services.engagement.domain.campaigns import Campaign
from services.engagement.domain.templates import Template
from services.engagement.ports import Claimed, Intent, MessageState, SentBefore, Trigger

_ADD_TRIGGERS = """
insert into triggers (segment_id, profile_id, seq, profile_version, cause, at)
select * from unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::timestamptz[])
on conflict do nothing returning segment_id, profile_id, seq, profile_version, cause, at
"""
_CAMPAIGNS = """
select c.id, c.name, c.segment_id, c.template_id, c.purpose, c.sender, c.active, c.causes, c.created_at,
       t.name as template_name, t.subject, t.text, t.html
from campaigns c join templates t on t.id = c.template_id
where c.active and c.segment_id = any($1::text[]) order by c.id
"""
_CLAIM = """
with due as (
  select id from messages where state = 'queued' and next_try_at <= $2 order by next_try_at, id limit 1 for update skip locked
)
update messages m set state = 'sending', owner = $1, tries = tries + 1, updated_at = $2
from due where m.id = due.id
returning m.id, m.campaign_id, m.fragment, m.recipient, m.sender, m.subject, m.text, m.html, m.tries
"""
# An owner holds a session-level advisory lock under its number for as long as it lives. Who can take that lock knows
# that the owner is gone; the lock ends with this transaction.
_ORPHANS = """
with owners as (
  select distinct owner from messages where state = 'sending' and owner <> $1
), gone as materialized (
  select owner from owners where pg_try_advisory_xact_lock(owner)
)
update messages m set state = 'uncertain', reason = 'interrupted', updated_at = $2
from gone where m.owner = gone.owner and m.state = 'sending' returning m.id
"""
_MARK = """
update messages set state = $2, updated_at = $3, reason = $4, next_try_at = $5 where id = $1 and state in ('sending', 'uncertain')
"""
_LOAD_MESSAGE = """
select m.id, m.campaign_id, m.fragment, m.recipient, m.sender, m.subject, m.text, m.html, m.tries, c.purpose
from messages m join campaigns c on c.id = m.campaign_id where m.id = $1 and m.recipient is not null
"""
_INTENT_COLUMNS = [
    "id", "campaign_id", "fragment", "profile_id", "segment_id", "seq", "state", "reason", "recipient", "sender",
    "subject", "text", "html", "sent_on", "next_try_at", "created_at", "updated_at",
]  # fmt: skip


class PostgresOutreach:
    """services.engagement.ports.Outreach on PostgreSQL."""

    async def add_triggers(self, tx: Tx, triggers: Sequence[Trigger]) -> list[Trigger]:
        ordered = sorted(triggers, key=lambda t: (t.profile_id, t.segment_id, t.seq))
        rows = await tx.fetch(
            _ADD_TRIGGERS,
            [t.segment_id for t in ordered],
            [t.profile_id for t in ordered],
            [t.seq for t in ordered],
            [t.profile_version for t in ordered],
            [t.cause for t in ordered],
            [t.at for t in ordered],
        )
        return [Trigger(*row) for row in rows]

    async def campaigns_of(self, tx: Tx, segment_ids: Sequence[str]) -> list[tuple[Campaign, Template]]:
        rows = await tx.fetch(_CAMPAIGNS, list(segment_ids))
        return [
            (
                Campaign(
                    id=row["id"],
                    name=row["name"],
                    segment_id=row["segment_id"],
                    template_id=row["template_id"],
                    purpose=row["purpose"],
                    sender=row["sender"],
                    active=row["active"],
                    causes=frozenset(row["causes"]),
                    created_at=row["created_at"],
                ),
                Template(row["template_id"], row["template_name"], row["subject"], row["text"], row["html"]),
            )
            for row in rows
        ]

    async def daily_cap(self, tx: Tx) -> int | None:
        cap: int | None = await tx.fetchval("select daily_cap from policies where id = 'default'")
        return cap

    async def sent_before(self, tx: Tx, fragments: Sequence[UUID]) -> list[SentBefore]:
        rows = await tx.fetch(
            "select fragment, campaign_id, sent_on from messages where fragment = any($1::uuid[]) and state <> 'skipped'",
            list(fragments),
        )
        return [SentBefore(*row) for row in rows]

    async def save_intents(self, tx: Tx, intents: Sequence[Intent]) -> None:
        records = [
            (
                intent.id, intent.campaign_id, intent.fragment, intent.profile_id, intent.segment_id, intent.seq,
                "queued" if intent.reason is None else "skipped", intent.reason, intent.recipient, intent.sender,
                intent.subject, intent.text, intent.html, intent.sent_on,
                intent.created_at if intent.reason is None else None, intent.created_at, intent.created_at,
            )
            for intent in intents
        ]  # fmt: skip
        await tx.copy_records_to_table("messages", records=records, columns=_INTENT_COLUMNS)

    async def claim_due(self, tx: Tx, owner: int, now: datetime) -> Claimed | None:
        row = await tx.fetchrow(_CLAIM, owner, now)
        return Claimed(*row) if row is not None else None

    async def load_message(self, tx: Tx, message_id: UUID) -> tuple[Claimed, str] | None:
        row = await tx.fetchrow(_LOAD_MESSAGE, message_id)
        return (Claimed(*row[:9]), row["purpose"]) if row is not None else None

    async def mark(
        self, tx: Tx, message_id: UUID, state: MessageState, now: datetime, *, reason: str | None, next_try_at: datetime | None
    ) -> None:
        await tx.execute(_MARK, message_id, state, now, reason, next_try_at)

    async def abandon_orphans(self, tx: Tx, own: int, now: datetime) -> list[UUID]:
        return [row[0] for row in await tx.fetch(_ORPHANS, own, now)]
