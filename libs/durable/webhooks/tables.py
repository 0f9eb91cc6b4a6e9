"""Where endpoints and deliveries are kept, in the schema of the service that sends."""

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations
    from sqlalchemy.sql.schema import SchemaItem

ENDPOINTS = "webhook_endpoints"
DELIVERIES = "webhook_deliveries"
_PENDING = sa.text("state = 'pending'")


def webhooks_tables(metadata: sa.MetaData) -> tuple[sa.Table, sa.Table]:
    """Declare the tables on a service's own metadata."""
    endpoints = sa.Table(ENDPOINTS, metadata, *_endpoint_columns())
    deliveries = sa.Table(DELIVERIES, metadata, *_delivery_columns())
    sa.Index("ix_webhook_deliveries_pending", deliveries.c.endpoint_id, deliveries.c.due_at, postgresql_where=_PENDING)
    sa.Index("ix_webhook_deliveries_created_at", deliveries.c.endpoint_id, deliveries.c.created_at)
    sa.Index("ix_webhook_deliveries_age", deliveries.c.created_at)
    return endpoints, deliveries


def create_webhooks(op: "Operations") -> None:
    """The same tables from a service's migration."""
    op.create_table(ENDPOINTS, *_endpoint_columns())
    op.create_table(DELIVERIES, *_delivery_columns())
    op.create_index("ix_webhook_deliveries_pending", DELIVERIES, ["endpoint_id", "due_at"], postgresql_where=_PENDING)
    op.create_index("ix_webhook_deliveries_created_at", DELIVERIES, ["endpoint_id", "created_at"])
    op.create_index("ix_webhook_deliveries_age", DELIVERIES, ["created_at"])


def drop_webhooks(op: "Operations") -> None:
    op.drop_table(DELIVERIES)
    op.drop_table(ENDPOINTS)


def _endpoint_columns() -> "tuple[SchemaItem, ...]":
    instant = sa.DateTime(timezone=True)
    return (
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("types", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("subjects", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("causes", sa.ARRAY(sa.Text), nullable=False),
        # Plain: it signs, so it must be readable here.
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("previous_secret", sa.Text),
        sa.Column("previous_until", instant),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("failing_since", instant),
        sa.Column("resting_until", instant),
        sa.Column("created_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
        sa.CheckConstraint("state IN ('active', 'disabled')", name=sa.schema.conv("ck_webhook_endpoints_state")),
    )


def _delivery_columns() -> "tuple[SchemaItem, ...]":
    instant = sa.DateTime(timezone=True)
    return (
        sa.Column("endpoint_id", sa.Uuid, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        # While one is being sent: when it may be sent again, should its sender have died.
        sa.Column("due_at", instant),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.Text),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("finished_at", instant),
        sa.PrimaryKeyConstraint("endpoint_id", "message_id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], [f"{ENDPOINTS}.id"], name="fk_webhook_deliveries_endpoint_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=sa.schema.conv("ck_webhook_deliveries_state")),
    )
