"""What the routes work with."""

from dataclasses import dataclass

from libs.consent import Defaults
from libs.identity import IdentityKey
from libs.kit.auth import Access
from libs.kit.clock import Clock
from libs.kit.db import Database
from libs.kit.ids import IdFactory
from libs.messaging.ports import Outbox, Publisher
from services.profile.api.reading import Reader
from services.profile.domain.lead import LeadStages
from services.profile.handlers.regroup_profiles import Regrouping
from services.profile.upkeep import RulesKeeper


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """`env` is the installation's: in `local` a loopback caller may see the page without a key. `region`: for phone numbers.

    `longest_stream_s`: a stream of all views that takes longer is cut.
    """

    database: Database
    publisher: Publisher
    reader: Reader
    access: Access
    identity_key: IdentityKey
    clock: Clock
    new_id: IdFactory
    env: str
    region: str
    outbox: Outbox
    regrouping: Regrouping
    longest_stream_s: float
    rules: RulesKeeper
    lead_stages: LeadStages
    consent_defaults: Defaults
