"""Is the rule true of a profile at an instant? Pure: time, view, touchpoints and segments come as arguments."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from hashlib import sha256
from math import inf
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from services.segmentation.domain import nodes
from services.segmentation.domain.conditions import meets
from services.segmentation.domain.history import Behaviour, Facts
from services.segmentation.domain.nodes import AT_LEAST_ONCE, Comparison, Did, Figure, Need, Rule, Touch, Valued
from services.segmentation.domain.relative_dates import passes
from services.segmentation.domain.sequences import is_sequence
from services.segmentation.domain.values import Json, bound_number, holds, is_number, read_micros, read_path

_BUCKETS: Final = 100
_ANY_TIME: Final = 0
"""For conditions that no relative date is part of."""
_EXACT: Final = Context(prec=1_000)
"""More digits than a sum of numbers of a sensible size has: nothing is rounded."""
_order: Final = attrgetter("order")


def evaluate(rule: Rule, facts: Facts, at_us: int) -> bool:
    """The rule at the instant: touchpoints with a later t aren't there yet."""
    return _EVALUATORS[type(rule)](rule, facts, at_us)


def find_candidates(touch: Touch, need: Need, facts: Facts) -> list[Behaviour]:
    """The needed touchpoints that ever meet the conditions, in order; worked out once a judgement."""
    key = id(touch)
    found = facts.matched.get(key)
    if found is None:
        where, hits = touch.where, facts.history.get(need, ())
        settled = where if not touch.dated else None
        found = list(hits) if settled is None else [hit for hit in hits if meets(settled, hit.properties, _ANY_TIME)]
        facts.matched[key] = found
    return found


def find_hits(touch: Touch, need: Need, facts: Facts, at_us: int) -> list[Behaviour]:
    """Those that are there at the instant and meet the conditions then, in order."""
    hits, where = cut_at(find_candidates(touch, need, facts), at_us), touch.where
    if touch.dated and where is not None:
        return [hit for hit in hits if meets(where, hit.properties, at_us)]
    return hits


def cut_at(hits: list[Behaviour], at_us: int) -> list[Behaviour]:
    """Those that are there at the instant."""
    if not hits or hits[-1].at_us <= at_us:
        return hits
    return hits[: bisect_right(hits, (at_us, inf), key=_order)]


def select_hits(did: Did, facts: Facts, at_us: int) -> list[Behaviour]:
    """The touchpoints a `did` speaks of at the instant; of a plain count never more than its comparison can tell apart."""
    hits = find_hits(did.touch, did.need, facts, at_us)
    span = did.span
    if isinstance(span, nodes.Within):
        return hits[bisect_right(hits, (at_us - span.window_us, inf), key=_order) :]
    if isinstance(span, nodes.Between):
        return [hit for hit in hits if span.from_us <= hit.at_us < span.to_us]
    if isinstance(span, nodes.Since):
        anchors = find_hits(span.touch, span.need, facts, at_us)
        return [hit for hit in hits if hit.order > anchors[-1].order] if anchors else []
    return hits


def read_numbers(figure: Figure, hits: Sequence[Behaviour]) -> list[int | Decimal]:
    """The numbers that the touchpoints carry: of money only those in the currency."""
    numbers = []
    for hit in hits:
        value = read_path(hit.properties, figure.property)
        if figure.currency is not None:
            if hit.currency != figure.currency:
                continue
            value = _repair_amount(value)
        if is_number(value):
            numbers.append(value)
    return numbers


def sum_exactly(numbers: Sequence[int | Decimal]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = _EXACT.add(total, number)
    return total


def compute_bucket(salt: str, profile_id: UUID) -> int:
    """0 to 99, for ever the same: the first 8 bytes, big-endian, of SHA-256(salt + ":" + profile id) mod 100."""
    digest = sha256(f"{salt}:{profile_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _BUCKETS


def read_trait(name: str, view: Mapping[str, Json]) -> Json:
    """A trait by its own name, which may hold dots; else what lies at the dotted path inside one."""
    traits = view.get("traits")
    if not isinstance(traits, Mapping):
        return None
    value = traits.get(name)
    return value if value is not None or "." not in name else read_path(traits, tuple(name.split(".")))


def read_view(path: tuple[str, ...], view: Mapping[str, Json]) -> Json:
    """A figure of the view. Amounts of a currency that never moved are 0."""
    value = read_path(view, path)
    if value is None and len(path) > 1 and path[-2].endswith("_minor"):
        amounts = read_path(view, path[:-1])
        return 0 if not isinstance(amounts, Mapping) or path[-1] not in amounts else None
    return value


def read_consent(consent: nodes.Consent, view: Mapping[str, Json]) -> str | None:
    """The word in force for the channel: the latest of its own and `*`; of two at the same time the denial."""
    entries = view.get("consent")
    latest: tuple[int, bool, str] | None = None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or entry.get("purpose") != consent.purpose:
            continue
        if entry.get("channel") not in (consent.channel, "*"):
            continue
        status = entry.get("status")
        word = (read_micros(entry.get("at")) or 0, status != "granted", str(status))
        if latest is None or word > latest:
            latest = word
    return latest[2] if latest else None


def read_points(view: Mapping[str, Json]) -> Json:
    """The balance; 0 where there is none yet."""
    balance = read_path(view, ("loyalty", "balance"))
    return balance if is_number(balance) else 0


def compare_average(test: Comparison, numbers: Sequence[int | Decimal]) -> bool:
    """Exact: the sum is compared with the wanted average times the count, so that nothing is divided."""
    count, wanted = len(numbers), test.value
    scaled = [_EXACT.multiply(Decimal(one), count) for one in wanted] if isinstance(wanted, list) else None
    return holds(test.op, sum_exactly(numbers), scaled if scaled is not None else _EXACT.multiply(Decimal(wanted), count))


def _repair_amount(value: Json) -> Json:
    """Amounts that were sent as text are taken as the numbers they are, as everywhere in the platform."""
    if not isinstance(value, str):
        return value
    try:
        return bound_number(Decimal(value.strip()))
    except InvalidOperation:
        return None


def _passes_figure(figure: Figure, hits: Sequence[Behaviour]) -> bool:
    numbers = read_numbers(figure, hits)
    if figure.of == "sum":
        return holds(figure.test.op, sum_exactly(numbers), figure.test.value)
    if not numbers:
        return False
    if figure.of == "average":
        return compare_average(figure.test, numbers)
    return holds(figure.test.op, min(numbers) if figure.of == "min" else max(numbers), figure.test.value)


def _evaluate_did(rule: Did, facts: Facts, at_us: int) -> bool:
    hits = select_hits(rule, facts, at_us)
    times = rule.times or (AT_LEAST_ONCE if rule.figure is None else None)
    if times is not None and not holds(times.op, len(hits), times.value):
        return False
    return rule.figure is None or _passes_figure(rule.figure, hits)


def _evaluate_sequence(rule: nodes.Sequence, facts: Facts, at_us: int) -> bool:
    orders = [[hit.order for hit in find_hits(touch, touch.need, facts, at_us)] for touch in rule.touches]
    without = orders.pop() if rule.without is not None else ()
    return is_sequence(orders, [step.within_us for step in rule.steps], without)


def _evaluate_bucket(rule: nodes.Bucket, facts: Facts, _at_us: int) -> bool:
    return rule.from_ <= compute_bucket(rule.salt, facts.profile_id) < rule.to


def read_value(rule: Valued, view: Mapping[str, Json]) -> Json:
    """The value that a condition on one looks at."""
    match rule:
        case nodes.Trait(name):
            return read_trait(name, view)
        case nodes.View(path):
            return read_view(path, view)
        case nodes.Points():
            return read_points(view)
        case nodes.Score(name):
            return read_path(view, ("scores", name))
        case nodes.Computed(name):
            return read_path(view, ("computed", name))


def _evaluate_value(rule: Valued, facts: Facts, at_us: int) -> bool:
    return passes(rule.test, read_value(rule, facts.view_at(at_us)), at_us)


_EVALUATORS: Final[Mapping[type, Callable[[Any, Facts, int], bool]]] = MappingProxyType(
    {
        nodes.All: lambda rule, facts, at_us: all(evaluate(one, facts, at_us) for one in rule.rules),
        nodes.Some: lambda rule, facts, at_us: any(evaluate(one, facts, at_us) for one in rule.rules),
        nodes.Not: lambda rule, facts, at_us: not evaluate(rule.rule, facts, at_us),
        nodes.Trait: _evaluate_value,
        nodes.View: _evaluate_value,
        nodes.Did: _evaluate_did,
        nodes.Sequence: _evaluate_sequence,
        nodes.InSegment: lambda rule, facts, _: facts.members.get(rule.segment_id, False),
        nodes.OnList: lambda rule, facts, _: rule.list_id in facts.lists,
        nodes.Consent: lambda rule, facts, at_us: read_consent(rule, facts.view_at(at_us)) == "granted",
        nodes.Stage: lambda rule, facts, at_us: read_path(facts.view_at(at_us), ("lead", "stage")) in rule.stages,
        nodes.Tier: lambda rule, facts, at_us: read_path(facts.view_at(at_us), ("loyalty", "tier")) in rule.tiers,
        nodes.Points: _evaluate_value,
        nodes.Score: _evaluate_value,
        nodes.Computed: _evaluate_value,
        nodes.Bucket: _evaluate_bucket,
    }
)
