"""A segment's size over time by all that is known now: every profile's past judged anew, late touchpoints where they belong."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from libs.kit.db import Tx
from libs.kit.errors import FieldError
from libs.kit.times import parse_utc, to_micros
from services.segmentation.domain.history import Facts
from services.segmentation.domain.recounting import find_alternations, find_foundation
from services.segmentation.domain.segments import Registry, Segment
from services.segmentation.errors import PastNotRecountable, SegmentNotFound
from services.segmentation.handlers.context import Segmentation, compile_definition
from services.segmentation.ports import HistoryRequest, KnownProfile, PreviewSource

RECOUNT: Final = "segment_recount"
_CHUNK: Final = 500


class Span(NamedTuple):
    """From (inclusive) to (exclusive), cut into intervals; in microseconds."""

    from_us: int
    to_us: int
    interval_us: int


class Moved(NamedTuple):
    """The size before the span, and by the start of each interval how many entered and exited."""

    before: int
    entered: Counter[int]
    exited: Counter[int]


class _Seen(msgspec.Struct):
    first_seen_at: str | None = None


_decode_seen: Final = msgspec.json.Decoder(_Seen).decode


def check_recountable(registry: Registry, segment_id: str) -> tuple[Segment, ...]:
    """The segment and what it builds on. Raises SegmentNotFound, PastNotRecountable where a rule looks at the view, whose past is
    only what was said at the time, or at a list, which has none.
    """
    if segment_id not in registry.by_id:
        raise SegmentNotFound(f"There is no segment {segment_id}.")
    foundation = find_foundation(registry, segment_id)
    for segment in foundation:
        others = segment.inputs.parts | {f"the list {one}" for one in segment.inputs.lists}
        if others:
            detail = f"segment {segment.id} looks at {', '.join(sorted(others))}"
            raise PastNotRecountable(f"Only touchpoints tell of the past; {detail}.", errors=[FieldError("#/path/id", detail)])
    return foundation


async def recount_sizes(
    snapshot: Tx,
    seg: Segmentation,
    source: PreviewSource,
    segment_id: str,
    span: Span,
    *,
    report: Callable[[int], Awaitable[None]] | None = None,
) -> Moved:
    """Everybody who is known now, from when they were first seen. `snapshot`: REPEATABLE READ."""
    definitions = await seg.definitions.load_all(snapshot)
    foundation = check_recountable(Registry(map(compile_definition, definitions)), segment_id)
    now_us = to_micros(seg.clock.now())
    entered, exited, before, done = Counter[int](), Counter[int](), 0, 0
    after = None
    while profiles := await source.load_profiles_after(snapshot, after, limit=_CHUNK, one_in=1):
        for instant, is_in in await _find_all(snapshot, profiles, foundation, segment_id, seg, now_us):
            if instant >= span.to_us:
                continue
            if instant < span.from_us:
                before += 1 if is_in else -1
            else:
                start = instant - (instant - span.from_us) % span.interval_us
                (entered if is_in else exited)[start] += 1
        after = profiles[-1].profile_id
        done += len(profiles)
        if report is not None:
            await report(done)
    return Moved(before, entered, exited)


async def _find_all(
    snapshot: Tx, profiles: Sequence[KnownProfile], foundation: Sequence[Segment], segment_id: str, seg: Segmentation, now_us: int
) -> list[tuple[int, bool]]:
    needs = tuple(dict.fromkeys(need for segment in foundation for need in segment.needs))
    requests = [HistoryRequest(profile.fragments, needs, now_us) for profile in profiles]
    histories = await seg.behaviours.load(snapshot, requests, whole=True)

    def find() -> list[tuple[int, bool]]:
        found: list[tuple[int, bool]] = []
        for profile, history in zip(profiles, histories, strict=True):
            first_us = min([now_us, *(hit.at_us for hits in history.values() for hit in hits), *_read_first_seen(profile.view)])
            found += find_alternations(foundation, segment_id, Facts(profile.profile_id, {}, history, {}), first_us, now_us)
        return found

    # Each profile's whole past by each rule: the worker's other lanes don't wait for it.
    return await asyncio.to_thread(find)


def _read_first_seen(view: bytes) -> list[int]:
    try:
        seen = _decode_seen(view).first_seen_at
        return [to_micros(parse_utc(seen))] if seen is not None else []
    except (msgspec.DecodeError, ValueError):
        return []
