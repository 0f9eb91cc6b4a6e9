"""Tables of accounts. A row of `accounts` is shared by all profiles that name it: it is locked last, in the order of keys."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from services.profile.tables.metadata import METADATA

ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("key", UUID, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("state", BYTEA, nullable=False),
    comment="What all group calls said of an account, whoever sent them; `key` is a hash of its id, which may be long",
)
ACCOUNT_MEMBERS = sa.Table(
    "account_members",
    METADATA,
    sa.Column("account", UUID, primary_key=True),
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("since_us", sa.BigInteger, nullable=False),
    sa.Index(None, "fragment"),
    comment="Fragments that a group call was folded in, which never changes; its members are the profiles that have those",
)
