"""One profile's batch: touchpoints folded into states, rows and totals. `handlers.fold_profiles` drives it.

Decides which kinds of touchpoint move which parts of the view. Applying the same touchpoint twice is the caller's to prevent.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from libs.orders.parts import fold_order, fold_refund, refund_key
from libs.orders.statements import OrderStatement
from services.profile.domain.accounts import Accounts, fold_group
from services.profile.domain.activity import ActivityBook
from services.profile.domain.attribution import fold_visit, read_visit
from services.profile.domain.bounds import CLAIMED, NAME_CHARS, STATED, Bounds
from services.profile.domain.cleansing import CLEANSED, cleanse
from services.profile.domain.consent import Consents, fold_consents
from services.profile.domain.edits import COMMAND_SOURCES
from services.profile.domain.facts import (
    CART_NAMES,
    MENTION_NAME,
    MESSAGE_NAMES,
    REVIEW_NAME,
    TICKET_NAMES,
    VISIT_NAME,
    Part,
    make_key,
    order_key,
    read_cart,
    read_completed_cart,
    read_mention,
    read_message,
    read_properties,
    read_review,
    read_ticket,
    read_visits,
)
from services.profile.domain.identity import is_verified_person
from services.profile.domain.lead import LeadWord, fold_capture, fold_owner, fold_stage, read_owner, read_stage
from services.profile.domain.rows import RowBook
from services.profile.domain.sessions import is_activity
from services.profile.domain.state import (
    ACCOUNTS,
    ANSWERS,
    ATTRIBUTION,
    CLAIMED_ACCOUNTS,
    CLAIMED_CONSENT,
    CLAIMED_TRAITS,
    CONSENT,
    LEAD,
    SURVEYS,
    TRAITS,
    USAGE,
    OpenState,
    OpenStates,
    Section,
    State,
)
from services.profile.domain.surveys import HISTORY_MAX, WITH_HISTORY, SurveyAnswer, read_answer
from services.profile.domain.tallies import Asked, Tops, ask_carts, ask_purchases, ask_stores
from services.profile.domain.texts import SURVEY_NAME, read_text_to_score
from services.profile.domain.totals import FORMAT, Kind, Totals, decode_totals, encode_totals
from services.profile.domain.touchpoint import Touchpoint
from services.profile.domain.traits import Refused, Said, Traits, bound_traits, fold_said, keep_latest, merge_said, state_traits
from services.profile.domain.usage import Usage, fold_own, is_own, merge_usages, name_device
from services.profile.domain.values import NULL, to_micros
from services.profile.domain.view import ALL_PARTS, render_blank, render_core

Score = Callable[[str], str]
"""Sentiment of a text: -1 to 1, a decimal of at most 4 places. Pure, so that a redelivery scores alike."""


_answer = msgspec.json.Decoder(SurveyAnswer).decode
_lead_word = msgspec.json.Decoder(LeadWord).decode
WITH_TOPS: Final = frozenset({"orders", "purchases", "carts", "stores"})
"""Parts of the view for which there may be something to ask; most touchpoints touch none of them."""
_NOTHING_REFUSED: Final[Refused] = ()
_NOBODY: Final[frozenset[UUID]] = frozenset()


class _Place(NamedTuple):
    """Where a touchpoint's words on whatever its sender chooses the names of are kept, and how much of them."""

    traits: Section[Traits]
    consent: Section[Consents]
    accounts: Section[Accounts]
    bounds: Bounds


_STATED: Final = _Place(TRAITS, CONSENT, ACCOUNTS, STATED)
_CLAIMED: Final = _Place(CLAIMED_TRAITS, CLAIMED_CONSENT, CLAIMED_ACCOUNTS, CLAIMED)


class Folding:
    """`base`: fragments that `totals` count already; other members with a state are added whole. `core`: the view as it stood."""

    __slots__ = ("_core", "_is_new", "_score", "_states", "_totals", "activity", "added", "rows", "tops", "touched")

    def __init__(
        self,
        members: Collection[UUID],
        base: Collection[UUID],
        states: Mapping[UUID, bytes],
        totals: bytes,
        core: bytes,
        *,
        score: Score,
    ) -> None:
        self._states = OpenStates(members, states)
        self._totals = decode_totals(totals)
        self._core = core
        self._score = score
        known = base if len(base) == len(members) else frozenset(base)
        self.added = _NOBODY if known is base else frozenset(one for one in members if one not in known and states[one])
        self.touched: set[str] = set()
        self.tops: Tops = {}
        self.rows = RowBook(base, self.added, self._totals)
        self.activity = ActivityBook(base, self.added, self._states, self._totals)
        self._is_new = not (core or totals or self.added)
        if self._is_new:
            self._core = render_blank()
            self._totals.format = FORMAT
        elif self.added or not core or not totals or self._totals.format != FORMAT:
            self.touched |= ALL_PARTS
            self._totals.format = FORMAT
        for fragment in self.added:
            self._add_small(self._states[fragment])

    def fold(self, fragment: UUID, touchpoint: Touchpoint, refused: Refused = _NOTHING_REFUSED) -> None:
        """Fold a touchpoint in the fragment of its strongest identifier."""
        opened = self._states[fragment]
        opened.is_changed = True
        t_us = to_micros(touchpoint.occurred_at)
        self._see(opened.state, t_us)
        kind = touchpoint.kind
        if kind == "page":
            opened.state.page_views += 1
            self._totals.page_views += 1
            self.touched.add("web")
        if is_activity(kind, touchpoint.channel):
            opened.points.append(t_us)
            self.touched.add("web")
        if is_own(touchpoint):
            self._fold_usage(opened, touchpoint, t_us)
        by = touchpoint.id.bytes
        is_stated = is_verified_person(touchpoint.identifiers[0]) or touchpoint.source_id in COMMAND_SOURCES
        place = _STATED if is_stated else _CLAIMED
        self._fold_traits(opened, place, touchpoint, refused, t_us, by)
        if touchpoint.campaign is not None:
            fold_visit(opened.edit(ATTRIBUTION), read_visit(touchpoint.campaign, t_us, by))
            self.touched.add("attribution")
        if touchpoint.consent:
            fold_consents(opened.edit(place.consent), touchpoint, t_us, by, place.bounds)
            self.touched.add("consent")
        if touchpoint.order is not None:
            self._fold_order(fragment, touchpoint.order, touchpoint, t_us)
        elif kind == "track":
            self._fold_named(fragment, touchpoint, t_us, by)
        elif kind == "group" and touchpoint.group_id is not None:
            fold_group(opened.edit(place.accounts), touchpoint.group_id, touchpoint.traits, t_us, by, place.bounds)
            self.touched.add("accounts")

    def finish(self) -> tuple[dict[UUID, bytes], bytes, bytes]:
        """Changed states by fragment, the totals and the view's members, once rows and activity are settled."""
        if "messages" in self.touched:
            self.touched.add("activity")  # whose preferred channel is the one that is answered in
        core = render_core(self._core, self.touched, self._totals, self._states, self.tops)
        if self._is_new:
            self.touched |= ALL_PARTS
        return self._states.encode_changed(), encode_totals(self._totals), core

    def ask_tops(self) -> Iterator[Asked]:
        """What to put into `tops` before `finish`, once rows and days are settled. An order closes the carts before it."""
        if self._totals.tallied.get(Kind.CART, 0) and "orders" in self.touched:
            self.touched.add("carts")
        if "purchases" in self.touched:
            yield from ask_purchases(self._totals)
        if "carts" in self.touched:
            yield from ask_carts(self._totals)
        if "stores" in self.touched:
            yield from ask_stores(self._totals)

    @property
    def totals(self) -> Totals:
        """For what needs a look at the rows: occasions and the first and last order."""
        return self._totals

    def _see(self, state: State, t_us: int) -> None:
        if state.first_us is None or t_us < state.first_us:
            state.first_us = t_us
        if state.last_us is None or t_us > state.last_us:
            state.last_us = t_us
        totals = self._totals
        if totals.first_us is None or t_us < totals.first_us:
            totals.first_us = t_us
            self.touched.add("first_seen")
        if totals.last_us is None or t_us > totals.last_us:
            totals.last_us = t_us
            self.touched.add("last_seen")

    def _add_small(self, opened: OpenState) -> None:
        """What a joining fragment brings that isn't in rows; its sessions and rows come as news."""
        state, totals = opened.state, self._totals
        if state.first_us is not None and state.last_us is not None:
            self._see(state, state.first_us)
            self._see(state, state.last_us)
        totals.page_views += state.page_views
        totals.surveys = merge_said((totals.surveys, opened.read(SURVEYS)))
        usage = opened.read(USAGE)
        if usage.hours:
            totals.usage = merge_usages([usage] if totals.usage is None else [totals.usage, usage])
        answers = opened.read(ANSWERS)
        if answers:
            totals.answers = keep_latest([*(totals.answers or ()), *answers], HISTORY_MAX)

    def _fold_usage(self, opened: OpenState, touchpoint: Touchpoint, t_us: int) -> None:
        channel, device = touchpoint.channel, name_device(touchpoint.device)
        fold_own(opened.edit(USAGE), channel, device, t_us)
        if self._totals.usage is None:
            self._totals.usage = Usage()
        fold_own(self._totals.usage, channel, device, t_us)
        self.touched.add("activity")

    def _fold_traits(
        self, opened: OpenState, place: _Place, touchpoint: Touchpoint, refused: Refused, t_us: int, by: bytes
    ) -> None:
        stated = state_traits(touchpoint, refused)
        if stated:
            traits = opened.edit(place.traits)
            for name, value in stated.items():
                if len(value) > place.bounds.value_bytes or len(name) > NAME_CHARS:
                    continue
                clean = cleanse(name, value) if name in CLEANSED else value
                if clean is not None:
                    original = None if clean == value else value
                    fold_said(traits, name, Said(t_us, by, None if clean == NULL else clean, original))
            bound_traits(traits, place.bounds)
            self.touched.add("traits")

    def _fold_order(self, fragment: UUID, statement: OrderStatement, touchpoint: Touchpoint, t_us: int) -> None:
        touchpoint_id, lines = touchpoint.id, touchpoint.lines
        if statement.step == "refunded":
            refund = fold_refund(None, statement, t_us, touchpoint_id, lines)
            self.rows.fold(fragment, make_key(Part.REFUND, refund_key(statement, touchpoint_id)), refund)
        else:
            if statement.order_id is None:
                statement = msgspec.structs.replace(statement, order_id=str(touchpoint_id))
            order = fold_order(None, statement, t_us, touchpoint_id, lines)
            self.rows.fold(fragment, order_key(order.order_id), order)
            cart = read_completed_cart(touchpoint.properties, t_us) if statement.step == "completed" else None
            if cart is not None:
                self.rows.fold(fragment, *cart)

    def _fold_named(self, fragment: UUID, touchpoint: Touchpoint, t_us: int, by: bytes) -> None:
        """The names of the standard vocabulary that count for something."""
        name = touchpoint.name
        own_id = str(touchpoint.id)
        if name in TICKET_NAMES:
            self.rows.fold(fragment, *read_ticket(name, read_properties(touchpoint.properties), own_id, t_us, by))
        elif name in MESSAGE_NAMES:
            self.rows.fold(fragment, *read_message(name, read_properties(touchpoint.properties), own_id))
        elif name in CART_NAMES:
            self.rows.fold(fragment, *read_cart(name, read_properties(touchpoint.properties), t_us))
        elif name == VISIT_NAME:
            self.rows.fold(fragment, *read_visits(read_properties(touchpoint.properties), t_us))
        elif name == REVIEW_NAME:
            self.rows.fold(fragment, *read_review(read_properties(touchpoint.properties), own_id, t_us, by))
        elif name == MENTION_NAME:
            text = read_text_to_score(touchpoint)
            score = None if text is None else self._score(text)
            self.rows.fold(fragment, *read_mention(read_properties(touchpoint.properties), score, own_id, t_us, by))
        else:
            self._fold_small(self._states[fragment], touchpoint, t_us, by)

    def _fold_small(self, opened: OpenState, touchpoint: Touchpoint, t_us: int, by: bytes) -> None:
        if touchpoint.name == SURVEY_NAME:
            answer = read_answer(_answer(touchpoint.properties), t_us, by)
            if answer is not None:
                surveys = opened.edit(SURVEYS)
                if answer[0] == WITH_HISTORY:
                    # What was folded before there was a history has its last answer at least.
                    known = surveys.get(WITH_HISTORY)
                    self._fold_history(opened, [answer[1]] if known is None else [known, answer[1]])
                fold_said(surveys, *answer)
                fold_said(self._totals.surveys, *answer)
                self.touched |= {"surveys", "support"}
        elif touchpoint.name == "Lead Stage Changed":
            self._fold_lead(opened, _lead_word(touchpoint.properties), t_us, by)
        elif touchpoint.name == "Lead Captured":
            fold_capture(opened.edit(LEAD), t_us)
            self.touched.add("lead")

    def _fold_lead(self, opened: OpenState, word: LeadWord, t_us: int, by: bytes) -> None:
        stage, owner = read_stage(word.stage, t_us, by), read_owner(word, t_us, by)
        if stage is not None:
            fold_stage(opened.edit(LEAD), stage)
        if owner is not None:
            fold_owner(opened.edit(LEAD), owner)
        if stage is not None or owner is not None:
            self.touched.add("lead")

    def _fold_history(self, opened: OpenState, told: Sequence[Said]) -> None:
        answers = opened.edit(ANSWERS)
        answers[:] = keep_latest([*answers, *told], HISTORY_MAX)
        self._totals.answers = keep_latest([*(self._totals.answers or ()), *told], HISTORY_MAX)
