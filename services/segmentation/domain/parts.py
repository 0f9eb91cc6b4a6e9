"""The view part by part, as profile names its parts: which of them keep their history, and how a view is put together from them.

Decides what is worth a row; knows neither rules nor time.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from services.segmentation.domain.values import Json, decode_sent

WORDS: Final = frozenset(("traits", "consent", "lead", "loyalty", "scores", "computed"))
"""Parts that somebody states, and that change seldom: their history is kept whether or not a rule looks at them yet."""
SINCE_EVER_US: Final = -(1 << 62)
"""The instant of what was so for as long as anybody knows."""
_TOP: Final = WORDS | {"attribution"}
_EMPTY: Final = (b"{}", b"[]", b"null", b'{"stage":null')


class _View(Struct):
    traits: Raw = Raw(b"null")
    consent: Raw = Raw(b"null")
    lead: Raw = Raw(b"null")
    loyalty: Raw = Raw(b"null")
    scores: Raw = Raw(b"null")
    computed: Raw = Raw(b"null")
    attribution: Raw = Raw(b"null")
    aggregates: dict[str, Raw] = {}


_decode: Final = msgspec.json.Decoder(_View).decode


def cut_view(view: bytes, parts: Iterable[str]) -> dict[str, bytes]:
    """The JSON of these parts; `null` where the view has none."""
    read = _decode(view)
    return {part: bytes(getattr(read, part) if part in _TOP else read.aggregates.get(part, b"null")) for part in parts}


def join_view(parts: Mapping[str, bytes | None]) -> dict[str, Json]:
    """A view that has these parts and nothing else."""
    view: dict[str, Json] = {"aggregates": {}}
    for part, raw in parts.items():
        (view if part in _TOP else view["aggregates"])[part] = decode_sent(raw)
    return view


def replace_part(view: Mapping[str, Json], part: str, raw: bytes | None) -> dict[str, Json]:
    """The view with another value of one part."""
    value = decode_sent(raw)
    if part in _TOP:
        return {**view, part: value}
    aggregates = view.get("aggregates")
    return {**view, "aggregates": {**(aggregates if isinstance(aggregates, Mapping) else {}), part: value}}


def is_empty(raw: bytes) -> bool:
    """Whether a part says nothing yet."""
    return raw.startswith(_EMPTY)
