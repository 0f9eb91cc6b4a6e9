"""Lead stage: the latest stated one stands. Allowed moves bind commands, not touchpoints."""

from collections.abc import Iterable
from typing import Final

from msgspec import Raw, Struct

from services.profile.domain.traits import Said, is_later
from services.profile.domain.values import encode_json, read_text, render_time

LEAD_STAGE: Final = "lead"


class Lead(Struct, array_like=True):
    """`captured_us`: the first `Lead Captured`. It makes a lead of somebody whose stage nobody stated, never of a customer."""

    stage: Said | None = None
    captured_us: int | None = None


def read_stage(stage: Raw, t_us: int, by: bytes) -> Said | None:
    """What `Lead Stage Changed` states; None where its stage is no text."""
    text = read_text(stage)
    return None if text is None or not text.strip() else Said(t_us, by, encode_json(text.strip()))


def fold_stage(lead: Lead, stage: Said) -> None:
    if is_later(stage, lead.stage):
        lead.stage = stage


def fold_capture(lead: Lead, t_us: int) -> None:
    if lead.captured_us is None or t_us < lead.captured_us:
        lead.captured_us = t_us


def merge_leads(parts: Iterable[Lead]) -> Lead:
    merged = Lead()
    for part in parts:
        if part.stage is not None:
            fold_stage(merged, part.stage)
        if part.captured_us is not None:
            fold_capture(merged, part.captured_us)
    return merged


def render_lead(lead: Lead) -> bytes:
    if lead.stage is not None and lead.stage.value is not None:
        return b'{"stage":%b,"since":%b}' % (lead.stage.value, render_time(lead.stage.t_us))
    if lead.captured_us is not None:
        return b'{"stage":"%b","since":%b}' % (LEAD_STAGE.encode(), render_time(lead.captured_us))
    return b'{"stage":null,"since":null}'
