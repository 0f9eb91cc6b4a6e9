"""Why a touchpoint is refused: the one list that answers, metrics, parked rejections and the README go by."""

from enum import StrEnum

from msgspec import Struct


class Reason(StrEnum):
    """One word per refusal. The value is public: it stands in answers, in metrics and in the parked record."""

    NOT_JSON = "not_json"
    """The bytes are no JSON, even for a tolerant reader."""
    NOT_AN_OBJECT = "not_an_object"
    """JSON, but no object: nothing can be read from a list or a number."""
    INVALID = "invalid"
    """A field of our own API has a value that it can't have."""
    UNKNOWN_KIND = "unknown_kind"
    """`type` is none of track, identify, page, screen, group, alias."""
    NAME_MISSING = "name_missing"
    """A track call that doesn't say what happened."""
    NO_IDENTIFIER = "no_identifier"
    """Nobody is named, or only by values that identify nobody."""
    NUMBER_NOT_FINITE = "number_not_finite"
    """NaN, Infinity, or a literal no double can hold (`1e400`), anywhere in the call."""
    AMOUNT_INVALID = "amount_invalid"
    """An amount of an order that is no finite number."""
    AMOUNT_NEGATIVE = "amount_negative"
    """An order or one of its lines states a negative amount."""
    CURRENCY_UNKNOWN = "currency_unknown"
    """An order's currency isn't in ISO 4217."""
    EVENT_TOO_LARGE = "event_too_large"
    """More than 32 KB; of a body beyond all limits the beginning is kept."""
    BATCH_TOO_LARGE = "batch_too_large"
    """More than 512,000 bytes, inflated; the beginning is kept."""
    TOO_MANY_EVENTS = "too_many_events"
    """What stands behind the greatest number of events a batch may hold."""
    TOO_DEEP = "too_deep"
    """Objects or lists nested deeper than any consumer has to follow."""
    TOO_MANY_IDENTIFIERS = "too_many_identifiers"
    """More identifiers than a person has: something is wrong with the sender."""
    MESSAGE_ID_TOO_LONG = "message_id_too_long"
    """A message id of more than 100 characters."""
    IDENTIFIER_TOO_LONG = "identifier_too_long"
    """An identifier, or an order's or refund's id, of more than 512 characters."""
    NAME_TOO_LONG = "name_too_long"
    """A name of more than 512 characters."""
    SOURCE_DISABLED = "source_disabled"
    """The source is switched off: what it sends is kept until it is on again."""
    PLAN_VIOLATION = "plan_violation"
    """The source's tracking plan blocks it. Change the plan or the sender, then replay."""


class Refusal(Struct, frozen=True):
    """A touchpoint that isn't taken. `detail` says which part was wrong and never holds a person's data."""

    reason: Reason
    detail: str


class Flag(StrEnum):
    """What was repaired, or is worth a look, in a touchpoint that was taken."""

    TIME_IN_FUTURE = "time_in_future"
    """More than five minutes ahead of its receipt, after correction: the time of receipt stands."""
    TIMESTAMP_UNREADABLE = "timestamp_unreadable"
    """A time that is no RFC 3339 instant; the next best stands."""
    SENT_AT_UNREADABLE = "sent_at_unreadable"
    """`sentAt` is no RFC 3339 instant: the sender's clock is taken as right."""
    CHARACTERS_REPLACED = "characters_replaced"
    """NUL, lone surrogates or bytes that are no UTF-8 became U+FFFD."""
    FIELD_DROPPED = "field_dropped"
    """A field had a type that can't be read; the touchpoint stands without it."""
    NUMBER_AS_TEXT = "number_as_text"
    """An amount came as text and was read as the number it says."""
    TEXT_AS_NUMBER = "text_as_number"
    """A name or the like came as a number."""
    CURRENCY_CASE = "currency_case"
    """A currency in lower case."""
    CURRENCY_MISSING = "currency_missing"
    """An order without currency: the source's default stands."""
    ORDER_ID_MISSING = "order_id_missing"
    """An order without id: the touchpoint's id stands."""
    ALIASES = "aliases"
    """`orderId`, or `id` and `sky` of a product: the standard names stand beside them now."""
    CONSENT_UNREADABLE = "consent_unreadable"
    """A word on consent that can't be read; nothing was taken from it."""
    PLAN_VIOLATION = "plan_violation"
    """It isn't as the source's tracking plan says; the plan lets it pass."""
    PLAN_UNPLANNED = "plan_unplanned"
    """The tracking plan doesn't name this event."""
    PLAN_OMITTED = "plan_omitted"
    """Members that the tracking plan doesn't name were left out."""
