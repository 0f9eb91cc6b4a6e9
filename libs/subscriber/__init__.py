"""What every follower of profile-changes does, once for all services.

Touchpoints exactly once, the highest version of each view, the map fragment -> profile, and readers who wait for their own write.
"""

from libs.subscriber.apply import apply_changes
from libs.subscriber.changes import Affected, Change, FactTouchpoint, Judge, SaveFacts
from libs.subscriber.refs import ProfileNotFound, Resolved, resolve_ref
from libs.subscriber.tables import SubscriberTables, create_subscriber_tables, drop_subscriber_tables, subscriber_tables
from libs.subscriber.waiting import OUTCOME_HEADER, AppliedOutcome, Arrivals, wait_for

__all__ = [
    "OUTCOME_HEADER",
    "Affected",
    "AppliedOutcome",
    "Arrivals",
    "Change",
    "FactTouchpoint",
    "Judge",
    "ProfileNotFound",
    "Resolved",
    "SaveFacts",
    "SubscriberTables",
    "apply_changes",
    "create_subscriber_tables",
    "drop_subscriber_tables",
    "resolve_ref",
    "subscriber_tables",
    "wait_for",
]
