"""Attribution: the first and the last touchpoint that came from somewhere. Where it came from, ingest has derived already."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from services.profile.domain.touchpoint import StatedCampaign
from services.profile.domain.values import encode_json, render_time

_WORD_CHARS: Final = 256
_NOTHING: Final = b'{"source":null,"medium":null,"campaign":null,"at":null}'


class Visit(Struct, array_like=True, frozen=True, gc=False):
    """A touchpoint with a campaign, a click id or an external referrer. Direct visits are none."""

    t_us: int
    by: bytes
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None


class Attribution(Struct, array_like=True):
    first: Visit | None = None
    last: Visit | None = None


def is_before(a: Visit, b: Visit) -> bool:
    """The order of touchpoints: (t, touchpoint id)."""
    return a.t_us < b.t_us or (a.t_us == b.t_us and a.by < b.by)


def read_visit(campaign: StatedCampaign, t_us: int, by: bytes) -> Visit:
    said = (campaign.source, campaign.medium, campaign.campaign)
    return Visit(t_us, by, *(word and word[:_WORD_CHARS] for word in said))


def fold_visit(attribution: Attribution, visit: Visit) -> None:
    if attribution.first is None or is_before(visit, attribution.first):
        attribution.first = visit
    if attribution.last is None or is_before(attribution.last, visit):
        attribution.last = visit


def merge_attributions(parts: Iterable[Attribution]) -> Attribution:
    merged = Attribution()
    for part in parts:
        for visit in (part.first, part.last):
            if visit is not None:
                fold_visit(merged, visit)
    return merged


def render_attribution(attribution: Attribution) -> bytes:
    return b'{"first":%b,"last":%b}' % (_render_visit(attribution.first), _render_visit(attribution.last))


def _render_visit(visit: Visit | None) -> bytes:
    if visit is None:
        return _NOTHING
    said = encode_json({"source": visit.source, "medium": visit.medium, "campaign": visit.campaign})
    return b'%b,"at":%b}' % (said[:-1], render_time(visit.t_us))
