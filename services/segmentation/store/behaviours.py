"""Touchpoints as rules see them. Saved by COPY; read by index, only as many as a rule can tell apart."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from libs.events.touchpoints import EMPTY_OBJECT, TouchpointRecorded
from libs.kit.db import Tx
from libs.kit.times import to_micros
from libs.subscriber import FactTouchpoint
from services.segmentation.domain.history import Behaviour
from services.segmentation.domain.nodes import Need
from services.segmentation.domain.parsing.behaviour import CHANNELS
from services.segmentation.domain.values import decode_sent
from services.segmentation.domain.vocabulary import list_paths
from services.segmentation.ports import HistoryRequest

_CHANNEL_NUMBERS: Final = {name: number for number, name in enumerate(CHANNELS)}
_COLUMNS: Final = ("fragment", "name", "at_us", "id", "channel", "currency", "properties")
_EVER: Final = (1 << 62) - 1
_COLUMNS_ASKED: Final = "b.at_us, b.id, b.currency, CASE WHEN n.with_properties THEN b.properties END AS properties"
_WANTED: Final = """b.fragment = r.fragment AND b.name = n.name AND b.at_us < n.to_us
            AND b.at_us >= greatest(n.from_us, r.judged_us - n.window_us) AND (n.channel IS NULL OR b.channel = n.channel)"""
# Later than the last judgement all of them; of the earlier the latest few: two index scans, however long the history is.
_LOAD: Final = f"""
    SELECT r.place, hit.* FROM unnest($1::int[], $2::int[], $3::uuid[], $4::bigint[]) AS r (place, need, fragment, judged_us)
    JOIN unnest($5::int[], $6::text[], $7::smallint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::boolean[])
        AS n (need, name, channel, from_us, to_us, window_us, most, with_properties) USING (need)
    CROSS JOIN LATERAL (
        (SELECT {_COLUMNS_ASKED} FROM behaviours b WHERE {_WANTED} AND b.at_us > r.judged_us)
        UNION ALL
        (SELECT {_COLUMNS_ASKED} FROM behaviours b WHERE {_WANTED} AND b.at_us <= r.judged_us
            ORDER BY b.at_us DESC, b.id DESC LIMIT n.most)
    ) AS hit
"""  # noqa: S608 - our own column names

# Fragments are hashes: those at one end are as good as any others.
_SAMPLE_PROPERTIES: Final = """
    SELECT n.name, hit.properties FROM unnest($1::text[]) AS n (name)
    CROSS JOIN (SELECT fragment FROM sub_fragments ORDER BY fragment DESC LIMIT 300) AS f
    CROSS JOIN LATERAL (
        SELECT b.properties FROM behaviours b WHERE b.fragment = f.fragment AND b.name = n.name ORDER BY b.at_us DESC LIMIT 2
    ) AS hit
"""


class _Currency(msgspec.Struct):
    currency: Any = None


_read_currency: Final = msgspec.json.Decoder(_Currency).decode


class PostgresBehaviours:
    """See the port `Behaviours`. `default_currency`: of amounts whose touchpoint names none and whose source isn't told."""

    def __init__(self, default_currency: str) -> None:
        self._default_currency = default_currency

    async def save(self, tx: Tx, touchpoints: Sequence[FactTouchpoint]) -> None:
        await tx.copy_records_to_table("behaviours", records=[self._to_row(fact) for fact in touchpoints], columns=_COLUMNS)
        await tx.execute(
            "INSERT INTO behaviour_names SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING",
            sorted({fact.body.name for fact in touchpoints}),
        )

    async def load(
        self, tx: Tx, requests: Sequence[HistoryRequest], *, whole: bool = False, until_us: int | None = None
    ) -> list[dict[Need, list[Behaviour]]]:
        found: list[dict[Need, list[Behaviour]]] = [{need: [] for need in request.needs} for request in requests]
        places: list[list[Behaviour]] = []
        rows: list[tuple[Any, ...]] = []
        numbers: dict[Need, int] = {}
        for request, needs in zip(requests, found, strict=True):
            for need, hits in needs.items():
                number = numbers.setdefault(need, len(numbers))
                rows += [(len(places), number, fragment, request.judged_us) for fragment in request.fragments]
                places.append(hits)
        if rows:
            end_us = until_us + 1 if until_us is not None else _EVER
            asked = [_to_bounds(need, number, end_us, whole=whole) for need, number in numbers.items()]
            for place, at_us, id_, currency, properties in await tx.fetch(
                _LOAD, *zip(*rows, strict=True), *zip(*asked, strict=True)
            ):
                places[place].append(Behaviour((at_us, id_.int), currency, properties))
        for hits in places:
            if len(hits) > 1:
                hits.sort(key=_to_order)
        return found

    async def load_names(self, tx: Tx) -> list[str]:
        return [row[0] for row in await tx.fetch("SELECT name FROM behaviour_names ORDER BY name")]

    async def load_properties(self, tx: Tx, names: Collection[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {name: set() for name in names}
        for name, properties in await tx.fetch(_SAMPLE_PROPERTIES, list(found)):
            found[name].update(list_paths(decode_sent(properties)))
        return found

    def _to_row(self, fact: FactTouchpoint) -> tuple[Any, ...]:
        body = fact.body
        properties = None if body.properties == EMPTY_OBJECT else bytes(body.properties)
        return (
            fact.fragment,
            body.name,
            to_micros(body.occurred_at),
            body.id,
            _CHANNEL_NUMBERS[body.channel],
            self._find_currency(body),
            properties,
        )

    def _find_currency(self, body: TouchpointRecorded) -> str | None:
        """The currency amounts are in: as sent, in capitals; else the source's default."""
        order = body.order
        if order is not None and order.currency is not None:
            return order.currency
        stated = _read_stated_currency(bytes(body.properties))
        if isinstance(stated, str) and stated.strip():
            return stated.strip().upper()
        return order.default_currency if order is not None else self._default_currency


def _read_stated_currency(properties: bytes) -> Any:
    if b'"currency"' not in properties:
        return None
    try:
        return _read_currency(properties).currency
    except (msgspec.DecodeError, RecursionError):
        return None


def _to_order(hit: Behaviour) -> tuple[int, int]:
    return hit.order


def _to_bounds(need: Need, number: int, end_us: int, *, whole: bool) -> tuple[Any, ...]:
    return (
        number,
        need.name,
        _CHANNEL_NUMBERS[need.channel] if need.channel is not None else None,
        need.from_us if need.from_us is not None else -_EVER,
        min(need.to_us, end_us) if need.to_us is not None else end_us,
        None if whole else need.window_us,
        None if whole else need.limit,
        need.with_properties,
    )
