"""Typeform: a response is an answered survey. Its kind is that of its first question of opinion."""

from typing import Final

from services.ingest.domain.reasons import Reason, Refusal
from services.ingest.domain.webhooks.deliveries import Delivery, Reading, hash_body, name_message
from services.ingest.domain.webhooks.payloads import read_payload
from services.ingest.domain.webhooks.values import (
    Object,
    as_list,
    as_long_text,
    as_object,
    as_text,
    compact,
    first,
    format_instant,
    pick,
)

_NO_EVENT: Final = Refusal(Reason.INVALID, "the body is no Typeform event")
_SCORES: Final = {"nps": "nps", "rating": "csat", "opinion_scale": "csat"}
_ANSWER_CHARS: Final = 1000
_PEOPLE: Final = ("user_id", "email", "phone", "loyalty_card")


def read_typeform(delivery: Delivery) -> Reading | Refusal:
    payload = read_payload(delivery.body)
    if isinstance(payload, Refusal):
        return payload
    event = as_object(payload)
    topic, response = as_text(event.get("event_type")), as_object(event.get("form_response"))
    if topic is None:
        return _NO_EVENT
    if topic != "form_response":
        return Reading(ignored=[topic])
    answers = [as_object(answer) for answer in as_list(response.get("answers"))]
    hidden = as_object(response.get("hidden"))
    scored = next((answer for answer in answers if _field_type(answer) in _SCORES), {})
    definition = as_object(response.get("definition"))
    comment = next((_read_answer(answer) for answer in answers if _field_type(answer) == "long_text"), None)
    identifiers: dict[str, object] = compact(
        {
            "email": as_text(_find_value(answers, "email")),
            "phone": as_text(_find_value(answers, "phone_number")),
            **{name: as_text(hidden.get(name)) for name in _PEOPLE if as_text(hidden.get(name)) is not None},
        }
    )
    return Reading(
        [
            {
                "id": name_message(as_text(first(event.get("event_id"), response.get("token"))) or hash_body(delivery.body)),
                "name": "Survey Answered",
                "occurred_at": format_instant(response.get("submitted_at")),
                "identifiers": identifiers,
                "properties": compact(
                    {
                        "survey_type": _SCORES.get(_field_type(scored) or "", "other"),
                        "survey_id": as_text(response.get("form_id")),
                        "survey_name": as_text(definition.get("title")),
                        "response_id": as_text(response.get("token")),
                        "score": scored.get("number") if isinstance(scored.get("number"), int) else None,
                        "comment": as_long_text(comment),
                        "answers": {_name_question(answer, definition): _read_answer(answer) for answer in answers},
                        "hidden": {str(name): value for name, value in hidden.items() if name not in _PEOPLE},
                    }
                ),
            }
        ]
    )


def _field_type(answer: Object) -> str | None:
    return as_text(pick(answer, "field", "type"))


def _find_value(answers: list[Object], kind: str) -> object:
    return next((answer.get(kind) for answer in answers if answer.get("type") == kind), None)


def _name_question(answer: Object, definition: Object) -> str:
    """The question as its author named it: its `ref`, else its title, else its id."""
    field_id = as_text(pick(answer, "field", "id"))
    fields = [as_object(one) for one in as_list(definition.get("fields"))]
    title = next((as_text(one.get("title")) for one in fields if as_text(one.get("id")) == field_id), None)
    return first(as_text(pick(answer, "field", "ref")), title, field_id) or "?"


def _read_answer(answer: Object) -> object:
    """The value stands under the answer's own type; of a choice its label."""
    value = answer.get(as_text(answer.get("type")) or "")
    if isinstance(value, dict):
        return first(value.get("label"), value.get("labels"), value.get("other"))
    return value[:_ANSWER_CHARS] if isinstance(value, str) else value
