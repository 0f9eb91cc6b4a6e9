"""Which JSON Schemas a tracking plan may hold, and compiling one: draft 2020-12 (where `$schema` says nothing) and draft-07.

What a sender could make slow or a schema could reach out with is left out by construction:
- `$ref` stays within its own schema, and `$id`, which could lead it elsewhere, is refused. Nothing is ever fetched.
- Written out without `$ref`, a schema has at most 2,000 subschemas, 32 deep: so none is recursive, and none multiplies.
- Patterns are of the kind that takes time in proportion to the text (no look-around, no back references), and bounded in size.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import jsonschema_rs

DRAFTS: Final = ("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema")
MAX_SUBSCHEMAS: Final = 2_000
MAX_DEPTH: Final = 32
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=100_000)
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ELSEWHERE: Final = ("$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor")
_LITERALS: Final = ("enum", "const", "default", "examples")
_MAPS: Final = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_DEFINITIONS: Final = ("$defs", "definitions")


_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,5}")


class SchemaInvalid(ValueError):
    """`pointer` is the place within the plan."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.detail = detail


def compile_schema(pointer: str, schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Raises SchemaInvalid."""
    draft = schema.get("$schema", DRAFTS[0])
    if not isinstance(draft, str) or draft.removesuffix("#") not in DRAFTS:
        raise SchemaInvalid(f"{pointer}/$schema", f"one of {', '.join(DRAFTS)}")
    _measure(schema, pointer)
    try:
        return jsonschema_rs.validator_for(
            {"$schema": draft, **schema}, pattern_options=_PATTERNS, offline=True, validate_formats=True
        )
    except jsonschema_rs.ValidationError as error:
        place = "/".join((pointer, *(str(step) for step in error.instance_path)))
        what = "a pattern that takes linear time" if "pattern" in map(str, error.instance_path) else "JSON Schema of its draft"
        raise SchemaInvalid(place, f"is no {what}") from None
    except ValueError as error:
        raise SchemaInvalid(pointer, "can't be compiled") from error


def _measure(schema: dict[str, Any], pointer: str) -> None:
    """Walk the schema as if it were written out without references."""
    left = MAX_SUBSCHEMAS
    waiting: list[tuple[object, int, str]] = [(schema, 0, pointer)]
    while waiting:
        node, depth, place = waiting.pop()
        if not isinstance(node, dict):
            continue
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            detail = f"without $ref it would have more than {MAX_SUBSCHEMAS} subschemas or {MAX_DEPTH} levels: is it recursive?"
            raise SchemaInvalid(pointer, detail)
        if "$vocabulary" in node or ("$schema" in node and node is not schema):
            raise SchemaInvalid(place, "`$schema` stands once, at the top, and nobody's vocabulary is taken")
        for word in _ELSEWHERE:
            if isinstance(node.get(word), str | bool):
                raise SchemaInvalid(f"{place}/{word}", "names and anchors aren't taken: refer by `#/...`")
        waiting.extend((child, depth + 1, f"{place}/{step}") for step, child in find_children(node))
        said = [word for word in _REFERENCES if word in node]
        waiting.extend((resolve(schema, node[word], f"{place}/{word}"), depth + 1, place) for word in said)


def find_children(node: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """The subschemas that stand in a schema, definitions left out: they count where they are referred to."""
    for word, value in node.items():
        if word in _LITERALS or word in _DEFINITIONS:
            continue
        if word in _MAPS and isinstance(value, dict):
            yield from ((f"{word}/{name}", child) for name, child in value.items())
        elif isinstance(value, dict):
            yield word, value
        elif isinstance(value, list):
            yield from ((f"{word}/{number}", child) for number, child in enumerate(value))


def resolve(schema: dict[str, Any], reference: object, place: str) -> object:
    """What a `#/...` points at. Raises SchemaInvalid for anything else.

    A `%` would be read as an escape by who compiles the schema: what was measured must be what is compiled.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaInvalid(place, "only `#/...` within the same schema: nothing is fetched")
    if "%" in reference:
        raise SchemaInvalid(place, "no `%` in references: give the definition a name that needs no escape")
    node: object = schema
    for step in reference[2:].split("/") if len(reference) > 1 else ():
        key = step.replace("~1", "/").replace("~0", "~")
        node = _step_into(node, key)
    if node is None:
        raise SchemaInvalid(place, "points at nothing")
    return node


def _step_into(node: object, key: str) -> object:
    if isinstance(node, list):
        return node[int(key)] if _INDEX.fullmatch(key) and int(key) < len(node) else None
    return node.get(key) if isinstance(node, dict) else None
