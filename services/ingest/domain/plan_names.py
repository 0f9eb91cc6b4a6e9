"""Which members the schemas of a plan name, and leaving out those they don't."""

from collections.abc import Mapping
from typing import Any, Final, Optional

import msgspec
from msgspec import Raw

from services.ingest.domain.plan_schemas import resolve

Names = Mapping[str, Optional["Names"]]
"""Member -> the members of it, or of the objects in its list, that are named; None: whatever it holds, all of it is meant."""

_IN_PLACE: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONAL: Final = ("if", "then", "else", "not")
_OPEN: Final = ("patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames")
_DECODE: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_DECODE_LIST: Final = msgspec.json.Decoder(list[Raw]).decode


def find_names(*schemas: dict[str, Any] | None) -> Names:
    """All members that any of the schemas names, wherever in it."""
    found: dict[str, Names | None] = {}
    for schema in schemas:
        if schema is not None:
            _merge(found, _names_of(schema, schema) or {})
    return found


def _names_of(node: object, root: dict[str, Any]) -> dict[str, Names | None] | None:
    """None where the schema says nothing about which members there are, or says that any may be."""
    if not isinstance(node, dict):
        return None
    if any(isinstance(node.get(word), dict) or node.get(word) is True for word in _OPEN):
        return None
    found: dict[str, Names | None] = {}
    says = "properties" in node or "required" in node
    for name, member in node.get("properties", {}).items():
        found[name] = _names_of(member, root)
    for name in node.get("required", ()):
        found.setdefault(name, None)
    inner = [part for word in _IN_PLACE for part in node.get(word, ())] + [node[word] for word in _CONDITIONAL if word in node]
    inner += [resolve(root, node["$ref"], "")] if "$ref" in node else []
    inner += [node["items"]] if "items" in node else []
    for part in inner:
        names = _names_of(part, root)
        if names is not None:
            says = True
            _merge(found, names)
    return found if says else None


def _merge(into: dict[str, Names | None], other: Names) -> None:
    for name, members in other.items():
        held = into.get(name)
        if name not in into:
            into[name] = members
        elif held is not None and members is not None:
            merged = dict(held)
            _merge(merged, members)
            into[name] = merged
        else:
            # One says nothing of what is inside, the other does: what is named is what the other names.
            into[name] = held if held is not None else members


def drop_unnamed(raw: Raw, names: Names | None) -> Raw:
    """The object without members that aren't named, deep down; itself where there is nothing to leave out."""
    if names is None:
        return raw
    members = _DECODE(raw)
    kept = {name: _drop_within(member, names[name]) for name, member in members.items() if name in names}
    changed = len(kept) < len(members) or any(kept[name] is not members[name] for name in kept)
    return Raw(msgspec.json.encode(kept)) if changed else raw


def _drop_within(raw: Raw, names: Names | None) -> Raw:
    if names is None:
        return raw
    opener = bytes(raw).lstrip()[:1]
    if opener == b"{":
        return drop_unnamed(raw, names)
    if opener == b"[":
        items = _DECODE_LIST(raw)
        kept = [_drop_within(item, names) for item in items]
        return Raw(msgspec.json.encode(kept)) if any(one is not other for one, other in zip(kept, items, strict=True)) else raw
    return raw
