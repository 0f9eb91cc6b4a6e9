"""The folded view of a profile, told again from the written meanings with none of the service's code but how names are cleansed.

Keeps every touchpoint and computes everything anew, sorted by (t, touchpoint id), in fractions. Slow and plain on purpose:
what it says is what the profile service must say, however touchpoints came, were batched, or profiles were merged.

    reference = ProfileReference(score=lambda text: Fraction(1, 2))
    reference.feed(touchpoint)                        # the first copy of an id is final
    reference.view("email", "ada@example.com")        # the core members and `identifiers`, or None
    reference.views()                                 # every profile once, by a label made of its identifiers

Identity is grouping by the identifiers that touchpoints name together, and alias. It knows no limits, bans or shared devices:
where one is hit, name the refused identifiers of the touchpoint in `feed(..., refused=...)`, those that the rules block included.
"""

import json
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from libs.events.touchpoints import TouchpointRecorded
from libs.identity import normalise
from services.profile.domain.cleansing import CLEANSED, cleanse
from tests.support.profile_activity import count_activity
from tests.support.profile_orders import (
    count_carts,
    count_orders,
    count_purchases,
    count_stores,
    number_of,
    properties_of,
    show,
    tracked,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PAUSE = timedelta(minutes=30)
SNAKE_CASE = {"firstName": "first_name", "lastName": "last_name", "createdAt": "created_at"}
STATES = ("sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")
MESSAGE_WORDS = {
    "Sent": "sent",
    "Delivered": "delivered",
    "Opened": "opened",
    "Link Clicked": "clicked",
    "Clicked": "clicked",
    "Bounced": "bounced",
    "Marked as Spam": "complained",
    "Unsubscribed": "unsubscribed",
}

Score = Callable[[str], Fraction]
Node = tuple[str, str]
Refused = Collection[Node]


class ProfileReference:
    """Feed it touchpoints, ask it for views."""

    def __init__(self, score: Score) -> None:
        self._score = score
        self._told: dict[Any, tuple[TouchpointRecorded, Refused]] = {}

    def feed(self, touchpoint: TouchpointRecorded, *, refused: Refused = ()) -> None:
        self._told.setdefault(touchpoint.id, (touchpoint, frozenset(refused)))

    def groups(self) -> list[frozenset[Node]]:
        """The identifiers of each profile; a group in which nothing was ever carried as somebody's own isn't one."""
        neighbours: dict[Node, set[Node]] = {}
        live: set[Node] = set()
        for touchpoint, refused in self._told.values():
            carried = list_carried(touchpoint, refused)
            own = carried[0]
            live.update(carried)
            previous = [(one.kind, one.value) for one in touchpoint.previous if (one.kind, one.value) not in refused]
            for node in (*carried, *previous):
                neighbours.setdefault(own, set()).add(node)
                neighbours.setdefault(node, set()).add(own)
        found = []
        while neighbours:
            group, waiting = set(), [next(iter(neighbours))]
            while waiting:
                node = waiting.pop()
                if node in neighbours:
                    group.add(node)
                    waiting.extend(neighbours.pop(node))
            found.append(frozenset(group & live))
        return found

    def view(self, kind: str, value: str) -> dict[str, Any] | None:
        for group in self.groups():
            if (kind, value) in group:
                return self._view_of(group)
        return None

    def views(self) -> dict[str, dict[str, Any]]:
        return {label_of(group): self._view_of(group) for group in self.groups()}

    def _view_of(self, group: frozenset[Node]) -> dict[str, Any]:
        mine = [
            (touchpoint, refused) for touchpoint, refused in self._told.values() if list_carried(touchpoint, refused)[0] in group
        ]
        identifiers = [{"kind": kind, "value": value} for kind, value in sorted(group)]
        return {"identifiers": identifiers, **compute_core(mine, self._score)}


def list_carried(touchpoint: TouchpointRecorded, refused: Refused) -> list[Node]:
    """What it names as its own and keeps, strongest first: the first has it."""
    return [node for one in touchpoint.identifiers if (node := (one.kind, one.value)) not in refused]


def label_of(group: Iterable[Node]) -> str:
    """A name for a profile that doesn't depend on who came first."""
    return " ".join(f"{kind}:{value}" for kind, value in sorted(group))


def compute_core(told: Iterable[tuple[TouchpointRecorded, Refused]], score: Score) -> dict[str, Any]:
    """The members of the view that are folded, from all touchpoints of one profile."""
    entries = sorted(told, key=lambda one: (one[0].occurred_at, one[0].id))
    touchpoints = [touchpoint for touchpoint, _ in entries]
    return {
        "first_seen_at": show(touchpoints[0].occurred_at) if touchpoints else None,
        "last_seen_at": show(touchpoints[-1].occurred_at) if touchpoints else None,
        "traits": {name: value for name, value in latest_traits(entries).items() if value is not None},
        "aggregates": {
            "orders": count_orders(touchpoints),
            "web": count_web(touchpoints),
            "support": count_support(touchpoints),
            "social": count_social(touchpoints, score),
            "reviews": count_reviews(touchpoints),
            "surveys": {
                "nps_latest": latest_score(touchpoints, "nps"),
                "ces_latest": latest_score(touchpoints, "ces"),
                "nps_history": [{"score": score, "at": at} for score, at in reversed(list_scores(touchpoints, "nps")[-20:])],
            },
            "messages": count_messages(touchpoints),
            "purchases": count_purchases(touchpoints),
            "carts": count_carts(touchpoints),
            "stores": count_stores(touchpoints),
            "activity": count_activity(touchpoints),
        },
        "attribution": attribute(touchpoints),
        "consent": list_consent(touchpoints),
        "lead": find_lead(touchpoints),
        "accounts": list_accounts(touchpoints),
    }


def id_in(touchpoint: TouchpointRecorded, name: str) -> str:
    stated = properties_of(touchpoint).get(name)
    if isinstance(stated, bool) or not isinstance(stated, str | int) or not str(stated).strip():
        return str(touchpoint.id)
    return str(stated)


def two_places(values: list[Fraction]) -> float | None:
    return float(round(sum(values, Fraction(0)) / len(values), 2)) if values else None


# Traits


def latest_traits(entries: list[tuple[TouchpointRecorded, Refused]]) -> dict[str, Any]:
    traits: dict[str, Any] = {}
    for touchpoint, refused in entries:
        traits.update(stated_traits(touchpoint, refused))
    return traits


def stated_traits(touchpoint: TouchpointRecorded, refused: Refused) -> dict[str, Any]:
    stated: dict[str, Any] = {}
    if touchpoint.kind == "identify":
        stated.update(snake(json.loads(bytes(touchpoint.context)).get("traits") or {}))
    if touchpoint.kind != "group":
        stated.update(snake(json.loads(bytes(touchpoint.traits))))
    for kind in ("email", "phone"):
        named = [one.value for one in touchpoint.identifiers if one.kind == kind]
        accepted = [value for value in named if (kind, value) not in refused]
        if not named and stated.get(kind) is not None:  # a command that sets the trait alone
            accepted = [value for value in [normalise(kind, stated[kind])] if value is not None]
        if stated.get(kind) is not None:
            del stated[kind]
        if accepted:
            stated[kind] = accepted[0]
    if ("loyalty_card", stated.get("loyalty_card")) in refused:
        del stated["loyalty_card"]
    return clean_traits(stated)


def clean_traits(stated: dict[str, Any]) -> dict[str, Any]:
    """By the service's own function, whose meaning has tests of its own."""
    sent = {name: json.dumps(value).encode() for name, value in stated.items()}
    clean = {name: cleanse(name, value) if name in CLEANSED else value for name, value in sent.items()}
    return {name: json.loads(value) for name, value in clean.items() if value is not None}


def snake(traits: dict[str, Any]) -> dict[str, Any]:
    renamed = {SNAKE_CASE[name]: value for name, value in traits.items() if name in SNAKE_CASE}
    return renamed | {name: value for name, value in traits.items() if name not in SNAKE_CASE}


# The rest


def count_web(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    active = [
        touchpoint.occurred_at
        for touchpoint in touchpoints
        if touchpoint.channel in ("web", "mobile") and touchpoint.kind in ("page", "screen", "track")
    ]
    sessions = sum(1 for before, at in zip([None, *active], active, strict=False) if before is None or at - before > PAUSE)
    return {
        "page_views": sum(touchpoint.kind == "page" for touchpoint in touchpoints),
        "sessions": sessions,
        "last_at": show(active[-1]) if active else None,
    }


def count_support(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    names = [f"Support Ticket {word}" for word in ("Opened", "Updated", "Solved", "Reopened")]
    last_word = {id_in(touchpoint, "ticket_id"): touchpoint.name for touchpoint in tracked(touchpoints, *names)}
    return {
        "tickets": len(last_word),
        "tickets_open": sum(name != "Support Ticket Solved" for name in last_word.values()),
        "csat_latest": latest_score(touchpoints, "csat"),
        "solve_seconds_average": average_solving(tracked(touchpoints, *names)),
    }


def average_solving(words: list[TouchpointRecorded]) -> int | None:
    by_ticket: dict[str, list[TouchpointRecorded]] = {}
    for word in words:
        by_ticket.setdefault(id_in(word, "ticket_id"), []).append(word)
    took = []
    for told in by_ticket.values():
        unsolved = [word for word in told if word.name != "Support Ticket Solved"]
        if told[-1].name == "Support Ticket Solved" and unsolved:
            took.append(told[-1].occurred_at - unsolved[0].occurred_at)
    return round(Fraction(sum(one // timedelta(microseconds=1) for one in took), len(took) * 1_000_000)) if took else None


def count_social(touchpoints: list[TouchpointRecorded], score: Score) -> dict[str, Any]:
    texts = {
        id_in(touchpoint, "mention_id"): properties_of(touchpoint).get("text")
        for touchpoint in tracked(touchpoints, "Social Mention Posted")
    }
    scores = [score(text) for text in texts.values() if isinstance(text, str) and text.strip()]
    return {"mentions": len(texts), "sentiment_average": two_places(scores)}


def count_reviews(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    ratings = {
        id_in(touchpoint, "review_id"): number_of(properties_of(touchpoint).get("rating"))
        for touchpoint in tracked(touchpoints, "Product Reviewed")
    }
    return {"count": len(ratings), "rating_average": two_places([rating for rating in ratings.values() if rating is not None])}


def latest_score(touchpoints: list[TouchpointRecorded], survey: str) -> float | int | None:
    scores = list_scores(touchpoints, survey)
    return scores[-1][0] if scores else None


def list_scores(touchpoints: list[TouchpointRecorded], survey: str) -> list[tuple[float | int, str]]:
    """Oldest first."""
    found = []
    for touchpoint in tracked(touchpoints, "Survey Answered"):
        properties = properties_of(touchpoint)
        score = number_of(properties.get("score"))
        if properties.get("survey_type") == survey and score is not None:
            found.append((int(score) if score.denominator == 1 else float(score), show(touchpoint.occurred_at)))
    return found


def count_messages(touchpoints: list[TouchpointRecorded]) -> dict[str, dict[str, int]]:
    seen: dict[str, dict[str, set[str]]] = {channel: {state: set() for state in STATES} for channel in ("email", "sms", "push")}
    for word, channel in (("Email", "email"), ("SMS", "sms"), ("Push", "push")):
        for said, state in MESSAGE_WORDS.items():
            names = [f"{word} {said}", *(["Unsubscribed"] if (channel, said) == ("email", "Unsubscribed") else [])]
            seen[channel][state] |= {id_in(one, f"{channel}_id") for one in tracked(touchpoints, *names)}
    for states in seen.values():
        states["opened"] |= states["clicked"]
    return {channel: {state: len(ids) for state, ids in states.items()} for channel, states in seen.items()}


def attribute(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    came = [touchpoint for touchpoint in touchpoints if touchpoint.campaign is not None]
    return {"first": show_visit(came[0] if came else None), "last": show_visit(came[-1] if came else None)}


def show_visit(touchpoint: TouchpointRecorded | None) -> dict[str, Any]:
    campaign = touchpoint.campaign if touchpoint else None
    if touchpoint is None or campaign is None:
        return {"source": None, "medium": None, "campaign": None, "at": None}
    return {
        "source": campaign.source,
        "medium": campaign.medium,
        "campaign": campaign.campaign,
        "at": show(touchpoint.occurred_at),
    }


def list_consent(touchpoints: list[TouchpointRecorded]) -> list[dict[str, Any]]:
    """Newest word first; of one touchpoint the word for every channel comes last."""
    words: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}
    for touchpoint in touchpoints:
        at = touchpoint.occurred_at
        if touchpoint.source_id not in ("profile-api", "engagement"):
            at = min(at, touchpoint.received_at)
        for said in touchpoint.consent:
            shown = {"purpose": said.purpose, "channel": said.channel, "status": said.status, "at": show(at)}
            if said.wording_version is not None:
                shown["wording_version"] = said.wording_version
            shown["source"] = touchpoint.source_id
            if said.proof is not None:
                shown["proof"] = said.proof
            known = words.get((said.purpose, said.channel))
            if known is None or (at, touchpoint.id) > known[0]:
                words[said.purpose, said.channel] = (at, touchpoint.id), shown
    entries = sorted(words.values(), key=lambda word: (word[1]["channel"] == "*", word[1]["purpose"], word[1]["channel"]))
    return [shown for _, shown in sorted(entries, key=lambda word: word[0], reverse=True)]


def find_lead(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    history = []
    for touchpoint in reversed(tracked(touchpoints, "Lead Stage Changed")):
        stage = properties_of(touchpoint).get("stage")
        if isinstance(stage, str) and stage.strip():
            history.append({"stage": stage.strip(), "since": show(touchpoint.occurred_at)})
    captured = tracked(touchpoints, "Lead Captured")
    if captured and not history:
        history = [{"stage": "lead", "since": show(captured[0].occurred_at)}]
    return {**(history[0] if history else {"stage": None, "since": None}), "history": history[:20], **find_owner(touchpoints)}


def find_owner(touchpoints: list[TouchpointRecorded]) -> dict[str, Any]:
    handovers: list[dict[str, Any]] = []
    holder = None
    for touchpoint in tracked(touchpoints, "Lead Stage Changed"):
        properties = properties_of(touchpoint)
        owner, note = properties.get("owner", ""), properties.get("note")
        if owner is None or (isinstance(owner, str) and owner.strip()):
            said = note if isinstance(note, str) and note.strip() else None
            handovers.append({"from": holder, "to": owner, "at": show(touchpoint.occurred_at), "note": said})
            holder = owner
    return {"owner": holder, "handovers": handovers[::-1][:20]}


def list_accounts(touchpoints: list[TouchpointRecorded]) -> list[dict[str, Any]]:
    accounts: dict[str, dict[str, Any]] = {}
    for touchpoint in touchpoints:
        if touchpoint.kind == "group" and touchpoint.group_id is not None:
            account = accounts.setdefault(touchpoint.group_id, {"since": show(touchpoint.occurred_at), "traits": {}})
            account["traits"].update(snake(json.loads(bytes(touchpoint.traits))))
    shown = []
    for account_id, account in sorted(accounts.items()):
        traits = {name: value for name, value in account["traits"].items() if value is not None}
        shown.append({"id": account_id, "name": traits.get("name"), "since": account["since"], "traits": traits})
    return shown
