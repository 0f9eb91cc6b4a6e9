"""Leads: the latest stage and the latest owner stand, each by its own word. Allowed moves bind commands, not touchpoints."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final

import msgspec
from msgspec import Raw, Struct

from services.profile.domain.traits import Said, is_later, keep_latest
from services.profile.domain.values import ABSENT, KEY_CHARS, NULL, encode_json, read_text, render_time

LEAD_STAGE: Final = "lead"
HISTORY_MAX: Final = 20
NOTE_CHARS: Final = 500


_OWNERS_KEPT: Final = HISTORY_MAX + 1
"""One more than is shown, so that of each it is known who had the lead before."""
_NOT_SAID: Final = b""
_NO_OWNER: Final = frozenset({_NOT_SAID, NULL})
_read_owner = msgspec.json.Decoder(tuple[str | None, str | None]).decode


class Lead(Struct, array_like=True):
    """`captured_us`: the first `Lead Captured`. It makes a lead of somebody whose stage nobody stated, never of a customer.
    `stages`, `owners`: the latest statements, newest first; an owner's value is a JSON list, who and with what note.
    """

    stage: Said | None = None
    captured_us: int | None = None
    stages: list[Said] = []
    owners: list[Said] = []


class LeadWord(Struct):
    """What `Lead Stage Changed` says. An `owner` of null: nobody has the lead any more."""

    stage: Raw = ABSENT
    owner: Raw = Raw(_NOT_SAID)
    note: Raw = ABSENT


class LeadStages(Struct, frozen=True, forbid_unknown_fields=True):
    """Where commands may begin, and which stages they may move a lead to from each."""

    start: tuple[str, ...]
    moves: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        unknown = {*self.start, *(stage for named in self.moves.values() for stage in named)} - self.moves.keys()
        if unknown:
            raise ValueError(f"stages without moves of their own: {', '.join(sorted(unknown))}")

    def list_allowed(self, stage: str | None) -> Sequence[str]:
        """Where a command may move a lead from here; to stay is always allowed. From a stage of somebody else's: anywhere."""
        return self.start if stage is None else self.moves.get(stage, tuple(self.moves))


def read_stage(stage: Raw, t_us: int, by: bytes) -> Said | None:
    """What `Lead Stage Changed` states; None where its stage is no text."""
    text = (read_text(stage) or "").strip()[:KEY_CHARS]
    return Said(t_us, by, encode_json(text)) if text else None


def read_owner(word: LeadWord, t_us: int, by: bytes) -> Said | None:
    """None where it says nothing of an owner, or nothing that is a text or null."""
    said = bytes(word.owner)
    owner = None if said in _NO_OWNER else (read_text(word.owner) or "").strip()[:KEY_CHARS]
    if said == _NOT_SAID or owner == "":
        return None
    note = (read_text(word.note) or "").strip()[:NOTE_CHARS]
    return Said(t_us, by, encode_json([owner, note or None]))


def fold_owner(lead: Lead, word: Said) -> None:
    lead.owners = keep_latest([*lead.owners, word], _OWNERS_KEPT)


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
        merged.owners = keep_latest([*merged.owners, *part.owners], _OWNERS_KEPT)
        if part.captured_us is not None:
            fold_capture(merged, part.captured_us)
    return merged


def render_lead(lead: Lead) -> bytes:
    return b"%b,%b}" % (_render_stages(lead), _render_owners(lead))


def _render_stages(lead: Lead) -> bytes:
    if lead.stage is not None and lead.stage.value is not None:
        stated = keep_latest([*lead.stages, lead.stage], HISTORY_MAX)
        history = b",".join([_render_stage(word.value or NULL, word.t_us) for word in stated])
        return b'%b,"history":[%b]' % (_render_stage(lead.stage.value, lead.stage.t_us)[:-1], history)
    if lead.captured_us is not None:
        captured = _render_stage(encode_json(LEAD_STAGE), lead.captured_us)
        return b'%b,"history":[%b]' % (captured[:-1], captured)
    return b'{"stage":null,"since":null,"history":[]'


def _render_owners(lead: Lead) -> bytes:
    said = [(word.t_us, *_read_owner(word.value or b"[null,null]")) for word in lead.owners]
    handovers = [
        {"from": before[1], "to": owner, "at": Raw(render_time(t_us)), "note": note}
        for (t_us, owner, note), before in zip_longest(said, said[1:], fillvalue=(0, None, None))
    ]
    return b'"owner":%b,"handovers":%b' % (encode_json(said[0][1] if said else None), encode_json(handovers[:HISTORY_MAX]))


def _render_stage(stage: bytes, since_us: int) -> bytes:
    return b'{"stage":%b,"since":%b}' % (stage, render_time(since_us))
