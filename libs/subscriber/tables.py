"""The tables a subscriber needs, in the schema of the service that follows: what was seen, who owns what, the latest view."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Column, DateTime, Index, LargeBinary, MetaData, SmallInteger, Table, Uuid

if TYPE_CHECKING:
    from alembic.operations import Operations


@dataclass(frozen=True, slots=True)
class SubscriberTables:
    """The declared tables, for a service's metadata.

    - `sub_touchpoints`: every touchpoint whose effects are in, with its outcome (libs.subscriber.waiting.OUTCOMES).
    - `sub_fragments`: fragment -> profile; `profile_id` is null while only a touchpoint has named the fragment.
      `address`: the epoch-0 id that resolves to it.
    - `sub_profiles`: the highest version seen of each profile and its view. `judged_at` belongs to the service.
    - `sub_dead`: erased fragments and profiles; records about them are ignored for ever.
    """

    touchpoints: Table
    fragments: Table
    profiles: Table
    dead: Table


def subscriber_tables(metadata: MetaData) -> SubscriberTables:
    """Declare the tables on a service's own metadata."""
    fragments = Table("sub_fragments", metadata, *_fragment_columns())
    Index("ix_sub_fragments_profile_id", fragments.c.profile_id)
    Index("ix_sub_fragments_address", fragments.c.address)
    return SubscriberTables(
        touchpoints=Table("sub_touchpoints", metadata, *_touchpoint_columns()),
        fragments=fragments,
        profiles=Table("sub_profiles", metadata, *_profile_columns()),
        dead=Table("sub_dead", metadata, Column("id", Uuid, primary_key=True)),
    )


def create_subscriber_tables(op: "Operations") -> None:
    """The same tables from a service's first migration."""
    op.create_table("sub_touchpoints", *_touchpoint_columns())
    op.create_table("sub_fragments", *_fragment_columns())
    op.create_index("ix_sub_fragments_profile_id", "sub_fragments", ["profile_id"])
    op.create_index("ix_sub_fragments_address", "sub_fragments", ["address"])
    op.create_table("sub_profiles", *_profile_columns())
    # A view is replaced by the next one: room for that on its page, and nothing packed away that is wanted again at once.
    op.execute("ALTER TABLE sub_profiles SET (fillfactor = 60, toast_tuple_target = 8160)")
    op.create_table("sub_dead", Column("id", Uuid, primary_key=True))


def drop_subscriber_tables(op: "Operations") -> None:
    for table in ("sub_dead", "sub_profiles", "sub_fragments", "sub_touchpoints"):
        op.drop_table(table)


def _touchpoint_columns() -> tuple[Column[object], ...]:
    return (Column("id", Uuid, primary_key=True), Column("outcome", SmallInteger, nullable=False))


def _fragment_columns() -> tuple[Column[object], ...]:
    return (
        Column("fragment", Uuid, primary_key=True),
        Column("profile_id", Uuid),
        Column("membership", BigInteger, nullable=False),
        Column("address", Uuid),
    )


def _profile_columns() -> tuple[Column[object], ...]:
    return (
        Column("profile_id", Uuid, primary_key=True),
        Column("founding", Uuid, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("absorbed_into", Uuid),
        Column("snapshot", LargeBinary),
        Column("judged_at", DateTime(timezone=True)),
    )
