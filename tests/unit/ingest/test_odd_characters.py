"""One odd character never hurts its neighbours: the strict reader and the tolerant one say the same wherever both can read."""

import json
import math
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from libs.events.touchpoints import TouchpointRejected
from services.ingest.domain.arrivals import Arrival
from services.ingest.domain.calls import UNREADABLE, Call, NotStrict, _read_strict, is_suspect, read_call, repair_item
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.requests import Batch, read_batch
from tests.support.intake import NOW, SERVER, World, decode_outgoing

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\x00", "\ud800", "a\udc00b", "é", "1.10"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(
    st.sampled_from(["revenue", "order_id", "orderId", "currency", "products", "traits", "page", "userAgent", "x"]),
    VALUES,
    max_size=4,
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "messageId": st.sampled_from(["m1", "m2", 3]) | SCALARS,
        "type": st.sampled_from(["track", "identify", "page", "alias", "Track", "audience"]) | SCALARS,
        "event": st.sampled_from(["Order Completed", "Product Viewed", "order_completed", "E"]) | SCALARS,
        "userId": st.sampled_from(["u1", 7, 1.5]) | SCALARS,
        "anonymousId": SCALARS,
        "timestamp": st.sampled_from(["2026-01-01T00:00:00Z"]) | SCALARS,
        "name": SCALARS,
        "properties": OBJECTS | SCALARS,
        "traits": OBJECTS,
        "context": OBJECTS,
        "integrations": VALUES,
    },
)
PIECES = [
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"\x00",
    b"\n",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"9" * 400,
    b"1.10",
    b"[" * 70,
]


WORLD = World()
"""One for all examples: what an item says doesn't depend on what came before it."""


def spoil(data: bytes, at: int, piece: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + piece + data[at:]


SOUND = CALLS.map(lambda call: json.dumps(call, ensure_ascii=False).encode("utf-8", "surrogatepass"))
SPOILT = st.builds(spoil, SOUND, st.integers(0, 10_000), st.sampled_from(PIECES))
ITEMS = SOUND | SPOILT | CALLS.map(lambda call: json.dumps(call).encode())


ARRIVAL = Arrival(SERVER, "/v1/batch", NOW)


def judge(batch: Batch) -> list[Any]:
    """What was recorded of each item. Those without an id get the same one, not one of their own."""
    return decode_outgoing(WORLD.intake.judge_calls(ARRIVAL, batch, make_id=lambda _: "made"))


def tell(event: Any) -> Any:
    """A refusal is told by its reason: its bytes carry the envelope."""
    return (event.reason, event.detail) if isinstance(event, TouchpointRejected) else event


def splits_alone(item: bytes) -> bool:
    """Whether the item's brackets and quotes are its own business: no reader could tell else where it ends."""
    batch = read_batch(b'{"batch":[' + item + b"]}")
    return isinstance(batch, Batch) and [bytes(one) for one in batch.items] == [item.strip()]


@given(st.lists(ITEMS.filter(splits_alone), min_size=1, max_size=3), st.booleans())
def test_an_item_is_told_the_same_whatever_stands_beside_it(items: list[bytes], with_nonsense: bool) -> None:
    neighbours = [*items, b'{"type":"track","n":NaN,"event":"\xff"}'] if with_nonsense else items
    together = b'{"batch":[' + b",".join(neighbours) + b"]}"
    read = read_batch(together)
    assert isinstance(read, Batch)
    assert len(read.items) == len(neighbours)
    for item, said in zip(items, judge(read), strict=False):
        alone = read_batch(b'{"batch":[' + item + b"]}")
        assert isinstance(alone, Batch)
        assert [tell(event) for event in judge(alone)] == [tell(said)]


@given(ITEMS)
def test_the_tolerant_reader_says_what_the_strict_one_says(item: bytes) -> None:
    """The same call, with payloads of the same values, wherever the strict one reads the item as it stands."""
    strict = read_strictly(item)
    if strict is None:
        return
    repaired = repair_item(item, None)
    if isinstance(repaired, Refusal):
        assert strict == repaired
        return
    data, flags = repaired
    again = read_call(data, kind=None, source=SERVER)
    assert flags == () or isinstance(strict, Refusal)
    assert describe(again) == describe(strict)


def read_strictly(item: bytes) -> Call | Refusal | None:
    if is_suspect(item):
        return None
    try:
        return _read_strict(item, None, SERVER, None)
    except (NotStrict, *UNREADABLE):
        return None


def describe(call: Call | Refusal) -> Any:
    if isinstance(call, Refusal):
        return call
    payloads = {name: json.loads(bytes(getattr(call, name).raw)) for name in ("properties", "traits", "context")}
    rest = msgspec.structs.asdict(call)
    return {name: value for name, value in rest.items() if name not in payloads} | payloads


@given(st.lists(ITEMS, max_size=4))
def test_what_is_recorded_is_utf8_without_nul_whatever_came(items: list[bytes]) -> None:
    read = read_batch(b'{"batch":[' + b",".join(items) + b"]}")
    if isinstance(read, Refusal):
        return
    for record in WORLD.intake.judge_calls(ARRIVAL, read).outgoing:
        event = json.loads((record.value or b"").decode("utf-8"))
        if "reason" not in event:
            assert not has_unstorable(event)


def has_unstorable(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, dict):
        return any(map(has_unstorable, [*value, *value.values()]))
    if isinstance(value, list):
        return any(map(has_unstorable, value))
    return isinstance(value, float) and not math.isfinite(value)
