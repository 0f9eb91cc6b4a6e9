"""Whether a schema may replace the committed one of the same event type.

Records of an event stay in the log for days or for ever, and services are not replaced in one instant. So old records must mean
the same to new readers and new records to old ones. All that may be added is a field that may be missing. Anything else (a field
dropped, renamed, retyped, made required or optional, another default, a new member of an enumeration, a changed constraint) is a
new version of the event beside the old one.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_WORDS: Final = frozenset({"$schema", "$id", "$defs", "title", "description", "examples"})
_STRUCTURE: Final = frozenset({"$ref", "properties", "required", "items", "anyOf"})
_MISSING: Final = object()

Schema = Mapping[str, Any]


def find_breaks(old: Schema, new: Schema) -> list[str]:
    """What a reader or a stored record would not survive, each with its place; empty where `new` may replace `old`."""
    return list(_compare(_Document(old, old), _Document(new, new), "$"))


class _Document:
    """A schema within its whole document, so that references can be followed: names under `$defs` are no part of the contract."""

    __slots__ = ("_root", "schema")

    def __init__(self, root: Schema, schema: Schema) -> None:
        self._root = root
        reference = schema.get("$ref")
        if reference is not None:
            schema = {**root["$defs"][reference.removeprefix("#/$defs/")], **{k: v for k, v in schema.items() if k != "$ref"}}
        self.schema = schema

    def inside(self, schema: Schema) -> "_Document":
        return _Document(self._root, schema)

    def constraints(self) -> dict[str, Any]:
        own = {word: value for word, value in self.schema.items() if word not in _WORDS | _STRUCTURE}
        if "enum" in own:
            own["enum"] = sorted(own["enum"], key=str)
        return own


def _compare(old: _Document, new: _Document, place: str) -> Iterator[str]:
    before, after = old.constraints(), new.constraints()
    for word in sorted(before.keys() | after.keys()):
        if before.get(word, _MISSING) != after.get(word, _MISSING):
            yield f"{place}: {word} was {before.get(word, 'absent')}, is {after.get(word, 'absent')}"
    yield from _compare_fields(old, new, place)
    if "items" in old.schema and "items" in new.schema:
        yield from _compare(old.inside(old.schema["items"]), new.inside(new.schema["items"]), f"{place}[]")
    elif ("items" in old.schema) != ("items" in new.schema):
        yield f"{place}: what the list holds is no longer said the same way"
    yield from _compare_choices(old, new, place)


def _compare_fields(old: _Document, new: _Document, place: str) -> Iterator[str]:
    before: Schema = old.schema.get("properties", {})
    after: Schema = new.schema.get("properties", {})
    was_required, is_required = set(old.schema.get("required", ())), set(new.schema.get("required", ()))
    for name in sorted(before):
        here = f"{place}.{name}"
        if name not in after:
            yield f"{here}: removed"
            continue
        if (name in was_required) != (name in is_required):
            yield f"{here}: was {'required' if name in was_required else 'optional'}, is not any more"
        yield from _compare(old.inside(before[name]), new.inside(after[name]), here)
    for name in sorted(after.keys() - before.keys()):
        if name in is_required:
            yield f"{place}.{name}: a new field may not be required"


def _compare_choices(old: _Document, new: _Document, place: str) -> Iterator[str]:
    before, after = old.schema.get("anyOf"), new.schema.get("anyOf")
    if before is None and after is None:
        return
    if before is None or after is None or len(before) != len(after):
        yield f"{place}: other alternatives than before"
        return
    for number, (was, now) in enumerate(zip(before, after, strict=True)):
        yield from _compare(old.inside(was), new.inside(now), f"{place}|{number}")
