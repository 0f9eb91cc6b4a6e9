"""Lead stage: the latest stated one stands. Allowed moves bind commands, not touchpoints."""

from collections.abc import Iterable
from typing import Final

from msgspec import Raw, Struct

from services.profile.domain.traits import Said, is_later, keep_latest
from services.profile.domain.values import NULL, encode_json, read_text, render_time

LEAD_STAGE: Final = "lead"
HISTORY_MAX: Final = 20


class Lead(Struct, array_like=True):
    """`captured_us`: the first `Lead Captured`. It makes a lead of somebody whose stage nobody stated, never of a customer.
    `stages`: the latest statements, newest first.
    """

    stage: Said | None = None
    captured_us: int | None = None
    stages: list[Said] = []


def read_stage(stage: Raw, t_us: int, by: bytes) -> Said | None:
    """What `Lead Stage Changed` states; None where its stage is no text."""
    text = read_text(stage)
    return None if text is None or not text.strip() else Said(t_us, by, encode_json(text.strip()))


def fold_stage(lead: Lead, stage: Said) -> None:
    # What was folded before there was a history has its last stage at least.
    known = [] if lead.stage is None else [lead.stage]
    lead.stages = keep_latest([*lead.stages, *known, stage], HISTORY_MAX)
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
        merged.stages = keep_latest([*merged.stages, *part.stages], HISTORY_MAX)
        if part.captured_us is not None:
            fold_capture(merged, part.captured_us)
    return merged


def render_lead(lead: Lead) -> bytes:
    if lead.stage is not None and lead.stage.value is not None:
        stated = keep_latest([*lead.stages, lead.stage], HISTORY_MAX)
        history = b",".join([_render_stage(word.value or NULL, word.t_us) for word in stated])
        return b'%b,"history":[%b]}' % (_render_stage(lead.stage.value, lead.stage.t_us)[:-1], history)
    if lead.captured_us is not None:
        captured = _render_stage(encode_json(LEAD_STAGE), lead.captured_us)
        return b'%b,"history":[%b]}' % (captured[:-1], captured)
    return b'{"stage":null,"since":null,"history":[]}'


def _render_stage(stage: bytes, since_us: int) -> bytes:
    return b'{"stage":%b,"since":%b}' % (stage, render_time(since_us))
