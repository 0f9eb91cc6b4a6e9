"""Names that need not have been seen to be right: the field's standard ones, and the figures of the view."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from libs.vocabulary import CATALOGUE, StandardName
from services.segmentation.domain import nodes
from services.segmentation.domain.findings import Findings, point, suggest
from services.segmentation.domain.history import walk_places
from services.segmentation.domain.nodes import Condition, Rule, Touch
from services.segmentation.domain.values import Json

_MOST_LINES: Final = 20

TOUCHPOINT_NAMES: Final = frozenset(CATALOGUE.names)
TRAIT_NAMES: Final = frozenset(
    (
        "address",
        "age",
        "avatar",
        "birthday",
        "city",
        "company",
        "country",
        "created_at",
        "description",
        "email",
        "first_name",
        "gender",
        "id",
        "last_name",
        "loyalty_card",
        "name",
        "phone",
        "plan",
        "title",
        "username",
        "website",
    )
)
VIEW_PATHS: Final = (
    frozenset(
        f"aggregates.{part}.{figure}"
        for part, figures in {
            "orders": "count occasions first_at last_at gross_minor refunds_minor net_minor average_minor",
            "web": "page_views sessions last_at",
            "support": "tickets tickets_open csat_latest solve_seconds_average",
            "social": "mentions sentiment_average",
            "reviews": "count rating_average",
            "surveys": "nps_latest ces_latest nps_history",
            "messages": "email sms push",
            "purchases": "by_month products categories brands",
            "carts": "open last_at last",
            "stores": "visits last_at distinct top",
            "activity": "hours channels devices preferred_channel",
        }.items()
        for figure in figures.split()
    )
    | {f"attribution.{which}.{what}" for which in ("first", "last") for what in ("source", "medium", "campaign")}
    | {
        "lead.stage",
        "lead.since",
        "lead.owner",
    }
)


def warn_of_unknown(
    rule: Rule,
    findings: Findings,
    *,
    names: Collection[str],
    traits: Collection[str],
    properties: Mapping[str, Collection[str]],
) -> None:
    """Names that nothing has carried yet: allowed, but likely a slip of the pen. `properties`: those seen, by touchpoint."""
    known_names, known_traits = TOUCHPOINT_NAMES.union(names), TRAIT_NAMES.union(traits)
    for pointer, node in walk_places(rule):
        if isinstance(node, nodes.Trait):
            if node.name.partition(".")[0] not in known_traits:
                _warn("trait", node.name, known_traits, point(pointer, "trait"), findings)
        elif isinstance(node, nodes.View):
            if not _is_view_known(node.path):
                _warn("figure", ".".join(node.path), VIEW_PATHS, point(pointer, "view"), findings)
        else:
            for place, touch in _find_touches(pointer, node):
                _warn("touchpoint", touch.name, known_names, point(place, "did"), findings)
            for place, name, path in _find_properties(pointer, node):
                _warn_of_property(path, name, properties.get(name, ()), place, findings)


def list_paths(value: Json, prefix: str = "") -> Iterator[str]:
    """How conditions would name what a touchpoint's properties hold."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{prefix}{name}"
            yield from list_paths(inner, f"{prefix}{name}.")
    elif isinstance(value, list):
        yield f"{prefix}*"
        for inner in value[:_MOST_LINES]:
            yield from list_paths(inner, f"{prefix}*.")


def _find_touches(pointer: str, node: Rule) -> Iterator[tuple[str, Touch]]:
    if isinstance(node, nodes.Did):
        yield pointer, node.touch
        if isinstance(node.span, nodes.Since):
            yield point(pointer, "since"), node.span.touch
    elif isinstance(node, nodes.Sequence):
        for number, step in enumerate(node.steps):
            yield point(pointer, "sequence", number), step.touch
        if node.without is not None:
            yield point(pointer, "without"), node.without


def _find_properties(pointer: str, node: Rule) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(place, touchpoint, path) of each property that a condition names."""
    for place, touch in _find_touches(pointer, node):
        if touch.where is not None:
            for found, path in _walk_conditions(touch.where, point(place, "where")):
                yield found, touch.name, path
    if isinstance(node, nodes.Did) and node.figure is not None:
        yield point(pointer, node.figure.of, "property"), node.touch.name, node.figure.property


def _walk_conditions(condition: Condition, pointer: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    match condition:
        case nodes.Property(path):
            yield point(pointer, "property"), path
        case nodes.NotProperty(inner):
            yield from _walk_conditions(inner, point(pointer, "not"))
        case nodes.AllProperties(inner) | nodes.SomeProperties(inner):
            word = "all" if isinstance(condition, nodes.AllProperties) else "any"
            for number, one in enumerate(inner):
                yield from _walk_conditions(one, point(pointer, word, number))


def _warn_of_property(path: tuple[str, ...], touchpoint: str, seen: Collection[str], pointer: str, findings: Findings) -> None:
    """Nothing is said of a touchpoint of which no property is known, nor of what lies in an object nobody has described."""
    standard = _STANDARD_PATHS.get(touchpoint, frozenset())
    known = standard.union(seen)
    name = ".".join(path)
    is_open = any(".".join(path[:length]) in _OPEN_PATHS.get(touchpoint, ()) for length in range(1, len(path)))
    if known and not is_open:
        _warn(f"property of {touchpoint}", name, known, pointer, findings)


def _is_view_known(path: tuple[str, ...]) -> bool:
    """Amounts go on with a currency, messages with a state, consent with a place in the list."""
    return path[0] == "consent" or ".".join(path[:3]) in VIEW_PATHS or ".".join(path[:2]) in VIEW_PATHS


def _warn(what: str, name: str, known: Collection[str], pointer: str, findings: Findings) -> None:
    if name not in known:
        findings.add(pointer, f'no {what} "{name}" is known yet{suggest(name, known)}', "unknown")


def _list_standard_paths(standard: StandardName) -> Iterator[str]:
    for name, about in standard.properties.items():
        for spelling in (name, *about.aliases):
            yield spelling
            if about.type == "products":
                yield f"{spelling}.*"
                yield from (f"{spelling}.*.{inner}" for inner in CATALOGUE.products)


_STANDARD_PATHS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {name: frozenset(_list_standard_paths(standard)) for name, standard in CATALOGUE.names.items()}
)
_OPEN_PATHS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        name: frozenset(own for own, about in standard.properties.items() if about.type in ("object", "list"))
        for name, standard in CATALOGUE.names.items()
    }
)
