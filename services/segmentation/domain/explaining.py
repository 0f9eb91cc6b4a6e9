"""Why: the rule tree with each node true or false and the facts it was judged by."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from libs.kit.times import format_utc, from_micros
from services.segmentation.domain import nodes
from services.segmentation.domain.evaluation import (
    compute_bucket,
    evaluate,
    find_hits,
    read_consent,
    read_numbers,
    read_value,
    select_hits,
    sum_exactly,
)
from services.segmentation.domain.history import Behaviour, Facts
from services.segmentation.domain.nodes import Did, Figure, Rule
from services.segmentation.domain.timeline import Effort, find_true_change
from services.segmentation.domain.values import Json, read_path


def explain(body: Json, rule: Rule, facts: Facts, at_us: int, effort: Effort) -> dict[str, Any]:
    """Each node's answer, its facts, and when the answer changes if only time goes on, as far as the effort goes.

    `body` is the rule as written. Facts must hold whole histories, so that counts are true counts.
    """
    due_us = find_true_change(rule, facts, at_us, effort)
    told: dict[str, Any] = {
        "result": evaluate(rule, facts, at_us),
        "changes_at": format_utc(from_micros(due_us)) if due_us is not None else None,
    }
    match rule:
        case nodes.All() | nodes.Some():
            key = "all" if isinstance(rule, nodes.All) else "any"
            told[key] = [explain(part, child, facts, at_us, effort) for part, child in zip(body[key], rule.rules, strict=True)]
        case nodes.Not():
            told["not"] = explain(body["not"], rule.rule, facts, at_us, effort)
        case _:
            told["rule"] = body
            told["facts"] = _FACTS[type(rule)](rule, facts, at_us)
    return told


def _tell_hits(hits: Sequence[Behaviour]) -> dict[str, Any]:
    first, last = (format_utc(from_micros(hits[end].at_us)) if hits else None for end in (0, -1))
    return {"count": len(hits), "first_at": first, "last_at": last}


def _tell_sequence(rule: nodes.Sequence, facts: Facts, at_us: int) -> dict[str, Any]:
    """Each step for itself: which of them is missing, or came too late."""
    told = [{"did": touch.name, **_tell_hits(find_hits(touch, touch.need, facts, at_us))} for touch in rule.touches]
    without = told.pop() if rule.without is not None else None
    return {"steps": told} if without is None else {"steps": told, "without": without}


def _tell_did(rule: Did, facts: Facts, at_us: int) -> dict[str, Any]:
    hits = select_hits(rule, facts, at_us)
    told = _tell_hits(hits)
    if isinstance(rule.span, nodes.Since):
        anchors = find_hits(rule.span.touch, rule.span.need, facts, at_us)
        told["since"] = format_utc(from_micros(anchors[-1].at_us)) if anchors else None
    if rule.figure is not None:
        told[rule.figure.of] = compute_figure(rule.figure, hits)
    return told


def compute_figure(figure: Figure, hits: Sequence[Behaviour]) -> Json:
    """The figure itself, for showing: rules compare it exactly without dividing."""
    numbers = read_numbers(figure, hits)
    if figure.of == "sum":
        return sum_exactly(numbers)
    if not numbers:
        return None
    if figure.of == "average":
        return sum_exactly(numbers) / len(numbers)
    return min(numbers) if figure.of == "min" else max(numbers)


_FACTS: Final[Mapping[type, Callable[[Any, Facts, int], dict[str, Any]]]] = MappingProxyType(
    {
        **dict.fromkeys(
            (nodes.Trait, nodes.View, nodes.Points, nodes.Score, nodes.Computed),
            lambda rule, facts, _: {"value": read_value(rule, facts.view)},
        ),
        nodes.Did: _tell_did,
        nodes.Sequence: _tell_sequence,
        nodes.InSegment: lambda rule, facts, _: {"member": facts.members.get(rule.segment_id, False)},
        nodes.OnList: lambda rule, facts, _: {"listed": rule.list_id in facts.lists},
        nodes.Consent: lambda rule, facts, _: {"status": read_consent(rule, facts.view)},
        nodes.Stage: lambda _rule, facts, _: {"value": read_path(facts.view, ("lead", "stage"))},
        nodes.Tier: lambda _rule, facts, _: {"value": read_path(facts.view, ("loyalty", "tier"))},
        nodes.Bucket: lambda rule, facts, _: {"bucket": compute_bucket(rule.salt, facts.profile_id)},
    }
)
