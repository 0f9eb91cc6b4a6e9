"""What the handlers need of the outside: who may send, and where all that is kept lies."""

from services.ingest.ports.governance import PlanEntry, PlanStore, PlanVersion, PrivacyRequest, SuppressionStore
from services.ingest.ports.imports import Import, ImportRowError, ImportStore
from services.ingest.ports.rejections import (
    ParkedRejection,
    Place,
    RejectionBounds,
    RejectionFilter,
    RejectionGroup,
    RejectionStore,
)
from services.ingest.ports.sources import RateLimiter, SourceLog, Sources, SourceStore, SourceView, TallyStore, WriteKey
from services.ingest.ports.spool import Spool, Usage
from services.ingest.ports.webhooks import (
    LiveWebhook,
    Sns,
    StoredWebhook,
    WebhookEndpoint,
    WebhookMapping,
    Webhooks,
    WebhookSecret,
    WebhookStore,
)

__all__ = [
    "Import",
    "ImportRowError",
    "ImportStore",
    "LiveWebhook",
    "ParkedRejection",
    "Place",
    "PlanEntry",
    "PlanStore",
    "PlanVersion",
    "PrivacyRequest",
    "RateLimiter",
    "RejectionBounds",
    "RejectionFilter",
    "RejectionGroup",
    "RejectionStore",
    "Sns",
    "SourceLog",
    "SourceStore",
    "SourceView",
    "Sources",
    "Spool",
    "StoredWebhook",
    "SuppressionStore",
    "TallyStore",
    "Usage",
    "WebhookEndpoint",
    "WebhookMapping",
    "WebhookSecret",
    "WebhookStore",
    "Webhooks",
    "WriteKey",
]
