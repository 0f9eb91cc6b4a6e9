from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from libs.consent import Decision
from libs.identity import IdentityKey
from services.engagement.domain.campaigns import (
    DEFAULT_CAUSES,
    Campaign,
    History,
    Recipient,
    find_recipient,
    judge_send,
)
from services.engagement.domain.links import build_token, read_token
from services.engagement.domain.templates import Rendered, Template, TemplateFault, find_fault, render

CAMPAIGN = Campaign("c", "C", "s", "t", "marketing", "a@b.c", True, DEFAULT_CAUSES, datetime(2026, 1, 1, tzinfo=UTC))
ADA = Recipient("ada@example.com", UUID(int=1))
NOTHING_SENT = History(frozenset(), 0)


GRANTED = Decision("granted", {"status": "granted"}, "*")
DENIED = Decision("denied", None, "*")


@pytest.mark.parametrize(
    ("recipient", "consent", "history", "cap", "expected"),
    [
        (ADA, GRANTED, NOTHING_SENT, 1, None),
        (None, GRANTED, NOTHING_SENT, None, "no_address"),
        (Recipient("a@b.example,c@d.example", uuid4()), GRANTED, NOTHING_SENT, None, "invalid_address"),
        (ADA, DENIED, NOTHING_SENT, None, "no_consent"),
        (ADA, GRANTED, History(frozenset({"c"}), 0), None, "already_sent"),
        (ADA, GRANTED, History(frozenset({"other"}), 2), 2, "capped"),
        (ADA, GRANTED, History(frozenset({"other"}), 2), 3, None),
        (ADA, GRANTED, NOTHING_SENT, 0, "capped"),
    ],
)
def test_a_message_goes_only_with_address_consent_once_and_under_the_cap(
    recipient: Recipient | None, consent: Decision, history: History, cap: int | None, expected: str | None
) -> None:
    assert judge_send(CAMPAIGN, recipient=recipient, consent=consent, history=history, daily_cap=cap) == expected


def test_the_recipient_is_the_address_shown_when_it_is_a_live_identifier() -> None:
    fragment = uuid4()
    identifiers = [{"kind": "email", "value": "ada@example.com", "fragment": str(fragment)}]
    assert find_recipient(identifiers, {"email": "ada@example.com"}) == Recipient("ada@example.com", fragment)
    assert find_recipient(identifiers, {"email": "somebody@example.com"}) is None
    assert find_recipient(identifiers, {}) is None


def test_html_escapes_what_it_inserts_and_a_subject_stays_one_line() -> None:
    template = Template("t", "T", "Hi {{ traits.first_name }}", "Hi {{ traits.first_name }}", "<p>{{ traits.first_name }}</p>")
    rendered = render(template, {"traits": {"first_name": "<b>\nAda"}})
    assert rendered == Rendered("Hi <b> Ada", "Hi <b>\nAda", "<p>&lt;b&gt;\nAda</p>")


def test_an_unknown_name_is_empty() -> None:
    assert render(Template("t", "T", "Hi {{ traits.nope }}!", "x"), {"traits": {}}) == Rendered("Hi !", "x", None)


def test_what_is_not_liquid_is_refused_with_the_field_it_stands_in() -> None:
    fault = find_fault(Template("t", "T", "ok", "{% if %}", None))
    assert fault is not None
    assert fault.field == "text"


def test_a_template_that_runs_away_ends_with_a_fault() -> None:
    endless = "{% for i in (1..1000) %}{% for j in (1..1000) %}x{% endfor %}{% endfor %}"
    assert isinstance(render(Template("t", "T", "s", endless), {}), TemplateFault)


def test_a_link_names_its_message_and_cannot_be_made_up() -> None:
    key, other = IdentityKey(bytes(32)), IdentityKey(bytes(range(32)))
    message_id = uuid4()
    token = build_token(message_id, key)
    assert read_token(token, key) == message_id
    assert read_token(token, other) is None
    assert read_token(token[:-2], key) is None
    assert read_token("nonsense!", key) is None
