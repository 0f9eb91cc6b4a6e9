"""`did`, `sequence` and the conditions on properties."""

from collections.abc import Mapping
from typing import Any, Final

from services.segmentation.domain.conditions import find_lists
from services.segmentation.domain.findings import Findings, point, suggest
from services.segmentation.domain.money import MONEY_PROPERTIES
from services.segmentation.domain.nodes import (
    AllProperties,
    Between,
    Comparison,
    Condition,
    Did,
    Figure,
    NotProperty,
    Property,
    Sequence,
    Since,
    SomeProperties,
    Span,
    Step,
    Touch,
    Within,
)
from services.segmentation.domain.parsing.tests import parse_micros, parse_number_test, parse_test, parse_window

CHANNELS: Final = ("web", "mobile", "pos", "social", "support", "email", "sms", "push", "server", "import")
FIGURES: Final = ("sum", "average", "min", "max")
SPANS: Final = ("within", "between", "since")
MAX_PATH: Final = 16
_BETWEEN_ENDS: Final = 2
MAX_STEPS: Final = 20
_CURRENCY_LENGTH: Final = 3
_CONDITION_FORMS: Final = ("all", "any", "not", "property")
_TOUCH_KEYS: Final = ("did", "where", "channel")


def parse_did(body: Mapping[str, Any], pointer: str, findings: Findings) -> Did | None:
    _refuse_others(body, (*_TOUCH_KEYS, "times", *FIGURES, *SPANS), pointer, findings)
    before = len(findings.found)
    touch = parse_touch(body, pointer, findings)
    times = None
    if "times" in body:
        times = parse_number_test(body["times"], point(pointer, "times"), findings, whole=True)
    figures = [key for key in FIGURES if key in body]
    if len(figures) > 1:
        findings.add(pointer, f"one of {', '.join(FIGURES)} is expected, not {len(figures)}; put several into `all`")
    figure = _parse_figure(figures[0], body, pointer, findings) if figures else None
    span = _parse_span(body, pointer, findings)
    if len(findings.found) > before or touch is None:
        return None
    return Did(touch, times, figure, span)


def parse_touch(body: Any, pointer: str, findings: Findings) -> Touch | None:
    if not isinstance(body, Mapping) or not isinstance(body.get("did"), str) or not body["did"]:
        findings.add(pointer, 'a touchpoint is named like {"did": "Order Completed"}')
        return None
    channel = body.get("channel")
    if channel is not None and channel not in CHANNELS:
        hint = suggest(channel, CHANNELS) if isinstance(channel, str) else ""
        findings.add(point(pointer, "channel"), f"one of {', '.join(CHANNELS)} is expected{hint}")
    where = parse_where(body["where"], point(pointer, "where"), findings) if "where" in body else None
    return Touch(body["did"], where, channel)


def parse_sequence(body: Mapping[str, Any], pointer: str, findings: Findings) -> Sequence | None:
    _refuse_others(body, ("sequence", "without"), pointer, findings)
    before = len(findings.found)
    steps = body["sequence"]
    at = point(pointer, "sequence")
    if not isinstance(steps, list) or not 1 < len(steps) <= MAX_STEPS:
        findings.add(at, f"a list of two to {MAX_STEPS} steps is expected")
        return None
    parsed = [_parse_step(step, number, point(at, number), findings) for number, step in enumerate(steps)]
    without = None
    if "without" in body:
        if isinstance(body["without"], Mapping):
            _refuse_others(body["without"], _TOUCH_KEYS, point(pointer, "without"), findings)
        without = parse_touch(body["without"], point(pointer, "without"), findings)
    if len(findings.found) > before:
        return None
    return Sequence(tuple(step for step in parsed if step is not None), without)


def _parse_step(body: Any, number: int, pointer: str, findings: Findings) -> Step | None:
    touch = parse_touch(body, pointer, findings)
    if touch is None:
        return None
    _refuse_others(body, (*_TOUCH_KEYS, "within"), pointer, findings)
    within_us = None
    if "within" in body:
        if number == 0:
            findings.add(point(pointer, "within"), "`within` counts from the step before; the first step has none")
            return None
        within_us = parse_window(body["within"], point(pointer, "within"), findings)
    return Step(touch, within_us)


def _parse_figure(of: str, body: Mapping[str, Any], pointer: str, findings: Findings) -> Figure | None:
    at = point(pointer, of)
    form = body[of]
    if not isinstance(form, Mapping) or not isinstance(form.get("property"), str):
        findings.add(at, f'`{of}` is written like {{"property": "quantity", "gte": 3}}')
        return None
    path = _parse_path(form["property"], point(at, "property"), findings)
    test = parse_number_test(form, at, findings, whole=False, besides=("property", "currency"))
    if path is None or test is None:
        return None
    if "*" in path:
        findings.add(point(at, "property"), "a figure takes one number of each touchpoint; `*` names many")
        return None
    currency = _parse_currency(form, path, at, findings)
    return Figure(of, path, test, currency)  # type: ignore[arg-type]


def _parse_currency(form: Mapping[str, Any], path: tuple[str, ...], pointer: str, findings: Findings) -> str | None:
    currency = form.get("currency")
    is_money = path[-1] in MONEY_PROPERTIES
    if currency is None:
        if is_money:
            findings.add(pointer, f'`{path[-1]}` is money: say which, like "currency": "EUR"')
        return None
    if not is_money:
        findings.add(point(pointer, "currency"), f"`{path[-1]}` is no money; money is {', '.join(MONEY_PROPERTIES)}")
    elif not (isinstance(currency, str) and len(currency) == _CURRENCY_LENGTH and currency.isascii() and currency.isupper()):
        findings.add(point(pointer, "currency"), "an ISO 4217 code is expected, like EUR")
    else:
        return currency
    return None


def _parse_span(body: Mapping[str, Any], pointer: str, findings: Findings) -> Span | None:
    spans = [key for key in SPANS if key in body]
    if len(spans) > 1:
        findings.add(pointer, f"one of {', '.join(SPANS)} is expected, not {len(spans)}")
        return None
    if "within" in body:
        window_us = parse_window(body["within"], point(pointer, "within"), findings)
        return Within(window_us) if window_us else None
    if "between" in body:
        return _parse_between(body["between"], point(pointer, "between"), findings)
    if "since" in body:
        at = point(pointer, "since")
        touch = parse_touch(body["since"], at, findings)
        if touch is None:
            return None
        _refuse_others(body["since"], _TOUCH_KEYS, at, findings)
        return Since(touch)
    return None


def _parse_between(value: Any, pointer: str, findings: Findings) -> Between | None:
    if not isinstance(value, list) or len(value) != _BETWEEN_ENDS:
        findings.add(pointer, "two times are expected: [from, to], from inclusive, to exclusive")
        return None
    from_us, to_us = (parse_micros(end, point(pointer, number), findings) for number, end in enumerate(value))
    if from_us is None or to_us is None:
        return None
    if from_us >= to_us:
        findings.add(pointer, "`from` must lie before `to`")
        return None
    return Between(from_us, to_us)


def parse_where(body: Any, pointer: str, findings: Findings) -> Condition | None:
    """Conditions on properties. The lines of one list at most are meant, so that it is clear which line is chosen."""
    condition = parse_condition(body, pointer, findings)
    if condition is not None and len(find_lists(condition)) > 1:
        findings.add(pointer, "`*` names the lines of one list within a `where`, not of several")
        return None
    return condition


def parse_condition(body: Any, pointer: str, findings: Findings) -> Condition | None:
    forms = [key for key in _CONDITION_FORMS if key in body] if isinstance(body, Mapping) else []
    if len(forms) != 1:
        wrong = str(next(iter(body), "")) if isinstance(body, Mapping) else ""
        findings.add(
            pointer,
            f'a condition is written like {{"property": "category", "eq": "shoes"}}, or is one of all, any, not'
            f"{suggest(wrong, _CONDITION_FORMS)}",
        )
        return None
    form = forms[0]
    if form == "property":
        return _parse_property(body, pointer, findings)
    _refuse_others(body, (form,), pointer, findings)
    if form == "not":
        condition = parse_condition(body["not"], point(pointer, "not"), findings)
        return NotProperty(condition) if condition is not None else None
    return _parse_conditions(form, body[form], point(pointer, form), findings)


def _parse_conditions(form: str, body: Any, pointer: str, findings: Findings) -> Condition | None:
    if not isinstance(body, list) or not body:
        findings.add(pointer, "a list of at least one condition is expected")
        return None
    conditions = tuple(parse_condition(item, point(pointer, number), findings) for number, item in enumerate(body))
    known = tuple(condition for condition in conditions if condition is not None)
    if len(known) < len(conditions):
        return None
    return AllProperties(known) if form == "all" else SomeProperties(known)


def _parse_property(body: Mapping[str, Any], pointer: str, findings: Findings) -> Property | None:
    path = _parse_path(body["property"], point(pointer, "property"), findings)
    test: Comparison | None = parse_test(body, pointer, findings, besides=("property",))
    return Property(path, test) if path is not None and test is not None else None


def _parse_path(value: Any, pointer: str, findings: Findings) -> tuple[str, ...] | None:
    path = tuple(value.split(".")) if isinstance(value, str) else ()
    if not path or not all(path) or len(path) > MAX_PATH:
        findings.add(pointer, "a property is named like category, shipping.city or products.*.category")
        return None
    if path.count("*") > 1 or path[0] == "*":
        findings.add(pointer, "`*` stands once, behind the list whose lines it means: products.*.category")
        return None
    return path


def _refuse_others(body: Mapping[str, Any], allowed: tuple[str, ...], pointer: str, findings: Findings) -> None:
    for key in body:
        if key not in allowed:
            findings.add(point(pointer, key), f"`{key}` doesn't belong here{suggest(key, allowed)}")
