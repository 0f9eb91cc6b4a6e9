"""Names that need not have been seen to be right: the field's standard ones, and the figures of the view."""

from collections.abc import Collection, Iterable
from typing import Final

from libs.vocabulary import CATALOGUE
from services.segmentation.domain import nodes
from services.segmentation.domain.findings import Findings, suggest
from services.segmentation.domain.history import find_needs, walk
from services.segmentation.domain.nodes import Rule

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


def warn_of_unknown(rule: Rule, findings: Findings, *, names: Collection[str], traits: Collection[str]) -> None:
    """Names that nothing has carried yet: allowed, but likely a slip of the pen."""
    known_names, known_traits = TOUCHPOINT_NAMES.union(names), TRAIT_NAMES.union(traits)
    for name in dict.fromkeys(need.name for need in find_needs(rule)):
        _warn("touchpoint", name, known_names, findings)
    for node in walk(rule):
        if isinstance(node, nodes.Trait):
            if node.name.partition(".")[0] not in known_traits:
                _warn("trait", node.name, known_traits, findings)
        elif isinstance(node, nodes.View) and not _is_view_known(node.path):
            _warn("figure", ".".join(node.path), VIEW_PATHS, findings)


def _is_view_known(path: tuple[str, ...]) -> bool:
    """Amounts go on with a currency, messages with a state, consent with a place in the list."""
    return path[0] == "consent" or ".".join(path[:3]) in VIEW_PATHS or ".".join(path[:2]) in VIEW_PATHS


def _warn(what: str, name: str, known: Iterable[str], findings: Findings) -> None:
    known = set(known)
    if name not in known:
        findings.add("", f'no {what} "{name}" is known yet{suggest(name, known)}', "unknown")
