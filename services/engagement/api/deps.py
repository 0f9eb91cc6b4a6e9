"""What the routes work with."""

from dataclasses import dataclass

from libs.identity import IdentityKey
from libs.kit.db import Database
from libs.messaging.ports import Outbox
from libs.subscriber import Arrivals
from services.engagement.handlers import Engagement
from services.engagement.store import Library


@dataclass(frozen=True, slots=True)
class ApiDeps:
    database: Database
    outbox: Outbox
    engagement: Engagement
    library: Library
    identity_key: IdentityKey
    arrivals: Arrivals
    default_sender: str
