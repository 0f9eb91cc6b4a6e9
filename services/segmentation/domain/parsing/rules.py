"""The rule tree as written (reference: the API's rule grammar) to nodes. Decides what is a rule; asks nothing of any data."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from services.segmentation.domain.findings import Findings, point, suggest
from services.segmentation.domain.nodes import (
    All,
    Bucket,
    Computed,
    Consent,
    InSegment,
    Not,
    OnList,
    Points,
    Rule,
    Score,
    Some,
    Stage,
    Tier,
    Trait,
    View,
)
from services.segmentation.domain.parsing.behaviour import parse_did, parse_sequence
from services.segmentation.domain.parsing.tests import parse_number_test, parse_test
from services.segmentation.domain.values import Json, is_number

VIEW_ROOTS: Final = ("aggregates", "attribution", "lead", "consent")
MAX_DEPTH: Final = 24
MAX_NODES: Final = 500
_BUCKETS: Final = 100
_GREATEST_WHOLE: Final = 10**18
_OWN_FORMS: Final = MappingProxyType(
    {"segments": "segment", "loyalty": "points or tier", "computed": "computed", "scores": "score"}
)


class _Parser:
    """One rule being read. `findings` is filled; a part that is wrong gives None."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._nodes = 0

    def parse(self, body: Json, pointer: str, depth: int = 0) -> Rule | None:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            if self._nodes <= MAX_NODES + 1:
                self._findings.add(pointer, f"a rule has at most {MAX_NODES} conditions, nested at most {MAX_DEPTH} deep")
            return None
        if not isinstance(body, Mapping):
            self._findings.add(pointer, 'a rule is an object like {"did": "Order Completed"}')
            return None
        forms = [key for key in body if key in FORMS]
        if len(forms) != 1:
            self._refuse_form(body, forms, pointer)
            return None
        form = forms[0]
        if form in ("all", "any"):
            return self._parse_group(form, body, pointer, depth)
        if form == "not":
            self._refuse_others(body, ("not",), pointer)
            inner = self.parse(body["not"], point(pointer, "not"), depth + 1)
            return Not(inner) if inner is not None else None
        return _LEAVES[form](body, pointer, self._findings)

    def _parse_group(self, form: str, body: Mapping[str, Any], pointer: str, depth: int) -> Rule | None:
        self._refuse_others(body, (form,), pointer)
        at, inner = point(pointer, form), body[form]
        if not isinstance(inner, list) or not inner:
            self._findings.add(at, "a list of at least one rule is expected")
            return None
        rules = [self.parse(item, point(at, number), depth + 1) for number, item in enumerate(inner)]
        known = tuple(rule for rule in rules if rule is not None)
        if len(known) < len(rules):
            return None
        return All(known) if form == "all" else Some(known)

    def _refuse_form(self, body: Mapping[str, Any], forms: list[str], pointer: str) -> None:
        if forms:
            self._findings.add(pointer, f"one condition is expected, not {' and '.join(forms)}; put them into `all` or `any`")
            return
        first = str(next(iter(body), ""))
        self._findings.add(pointer, f"one of {', '.join(FORMS)} is expected{suggest(first, FORMS)}")

    def _refuse_others(self, body: Mapping[str, Any], allowed: tuple[str, ...], pointer: str) -> None:
        _refuse_others(body, allowed, pointer, self._findings)


def parse_rule(body: Json, pointer: str = "") -> tuple[Rule | None, Findings]:
    """The rule, or None with the errors found. Numbers must be exact already (`values.make_exact`)."""
    findings = Findings()
    _refuse_unwritable(body, pointer, findings)
    rule = _Parser(findings).parse(body, pointer) if not findings.found else None
    return (None if findings.errors() else rule), findings


def _refuse_unwritable(body: Json, pointer: str, findings: Findings, depth: int = 0) -> None:
    """Texts that no touchpoint can carry, because they are no Unicode text or hold NUL, and nesting without end."""
    if isinstance(body, str):
        if "\0" in body or not _is_unicode(body):
            findings.add(pointer, "a text of Unicode characters without NUL is expected")
    elif isinstance(body, int) and abs(body) >= _GREATEST_WHOLE:
        findings.add(pointer, "a number of at most 18 digits is expected")
    elif isinstance(body, Mapping | list):
        if depth > 2 * MAX_DEPTH:
            findings.add(pointer, f"a rule is nested at most {MAX_DEPTH} deep")
            return
        for key, value in body.items() if isinstance(body, Mapping) else enumerate(body):
            if isinstance(key, str):
                _refuse_unwritable(key, pointer, findings, depth)
            _refuse_unwritable(value, point(pointer, key), findings, depth + 1)


def _is_unicode(text: str) -> bool:
    """No half of a surrogate pair stands alone."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_others(body: Mapping[str, Any], allowed: tuple[str, ...], pointer: str, findings: Findings) -> None:
    for key in body:
        if key not in allowed:
            findings.add(point(pointer, key), f"`{key}` doesn't belong here{suggest(key, allowed)}")


def _want_name(body: Mapping[str, Any], key: str, pointer: str, findings: Findings) -> str | None:
    name = body[key]
    if isinstance(name, str) and name:
        return name
    findings.add(point(pointer, key), "a name is expected")
    return None


def _parse_trait(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    name = _want_name(body, "trait", pointer, findings)
    test = parse_test(body, pointer, findings, besides=("trait",))
    return Trait(name, test) if name and test else None


def _parse_view(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    test = parse_test(body, pointer, findings, besides=("view",))
    name = _want_name(body, "view", pointer, findings)
    if name is None or test is None:
        return None
    path = tuple(name.split("."))
    if path[0] not in VIEW_ROOTS:
        own = _OWN_FORMS.get(path[0])
        hint = f"; it has a form of its own: {own}" if own else suggest(path[0], VIEW_ROOTS)
        findings.add(point(pointer, "view"), f"`view` reaches {', '.join(VIEW_ROOTS)}, not {path[0]}{hint}")
        return None
    return View(path, test)


def _parse_segment(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    _refuse_others(body, ("segment",), pointer, findings)
    name = _want_name(body, "segment", pointer, findings)
    return InSegment(name) if name else None


def _parse_consent(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    _refuse_others(body, ("consent",), pointer, findings)
    form, at = body["consent"], point(pointer, "consent")
    if not isinstance(form, Mapping) or set(form) != {"purpose", "channel"}:
        findings.add(at, 'consent is written like {"purpose": "marketing", "channel": "email"}')
        return None
    purpose, channel = (_want_name(form, key, at, findings) for key in ("purpose", "channel"))
    return Consent(purpose, channel) if purpose and channel else None


def _parse_names(body: Mapping[str, Any], key: str, pointer: str, findings: Findings) -> tuple[str, ...]:
    _refuse_others(body, (key,), pointer, findings)
    names = body[key]
    if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    findings.add(point(pointer, key), f'a list of names is expected, like ["{key}"]')
    return ()


def _parse_stage(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    names = _parse_names(body, "stage", pointer, findings)
    return Stage(names) if names else None


def _parse_tier(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    names = _parse_names(body, "tier", pointer, findings)
    return Tier(names) if names else None


def _parse_points(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    _refuse_others(body, ("points",), pointer, findings)
    test = parse_number_test(body["points"], point(pointer, "points"), findings, whole=False)
    return Points(test) if test else None


def _parse_score(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    name = _want_name(body, "score", pointer, findings)
    test = parse_number_test(body, pointer, findings, whole=False, besides=("score",))
    return Score(name, test) if name and test else None


def _parse_bucket(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    _refuse_others(body, ("bucket",), pointer, findings)
    form, at = body["bucket"], point(pointer, "bucket")
    if not isinstance(form, Mapping) or set(form) != {"salt", "from", "to"} or not isinstance(form["salt"], str):
        findings.add(at, 'a bucket is written like {"salt": "x", "from": 0, "to": 10}')
        return None
    from_, to = form["from"], form["to"]
    if not all(is_number(end) and end == int(end) for end in (from_, to)) or not 0 <= from_ < to <= _BUCKETS:
        findings.add(at, f"`from` and `to` are whole numbers, 0 <= from < to <= {_BUCKETS}")
        return None
    return Bucket(form["salt"], int(from_), int(to))


def _parse_computed(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    name = _want_name(body, "computed", pointer, findings)
    test = parse_test(body, pointer, findings, besides=("computed",))
    return Computed(name, test) if name and test else None


def _parse_list(body: Mapping[str, Any], pointer: str, findings: Findings) -> Rule | None:
    _refuse_others(body, ("list",), pointer, findings)
    name = _want_name(body, "list", pointer, findings)
    return OnList(name) if name else None


_LEAVES: Final[Mapping[str, Callable[[Mapping[str, Any], str, Findings], Rule | None]]] = MappingProxyType(
    {
        "trait": _parse_trait,
        "view": _parse_view,
        "did": parse_did,
        "sequence": parse_sequence,
        "segment": _parse_segment,
        "list": _parse_list,
        "consent": _parse_consent,
        "stage": _parse_stage,
        "tier": _parse_tier,
        "points": _parse_points,
        "computed": _parse_computed,
        "score": _parse_score,
        "bucket": _parse_bucket,
    }
)
FORMS: Final = ("all", "any", "not", *_LEAVES)
