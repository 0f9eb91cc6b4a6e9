"""What every follower of profile-changes does: exactly-once touchpoints, the highest version, fragment -> profile, waiting readers."""

from libs.subscriber.apply import apply_changes
from libs.subscriber.changes import Affected, Change, FactTouchpoint, Judge, SaveFacts
from libs.subscriber.refs import ProfileNotFound, Resolved, resolve_ref
from libs.subscriber.tables import SubscriberTables, create_subscriber_tables, drop_subscriber_tables, subscriber_tables
from libs.subscriber.waiting import AppliedOutcome, wait_for

__all__ = [
    "Affected",
    "AppliedOutcome",
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
