"""JSON Schema (2020-12) of an event class, from msgspec's own view of its types."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect as shape

from libs.events.envelope import Event

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_PLAIN: Final[Mapping[type[shape.Type], Schema]] = {
    shape.AnyType: {},
    shape.RawType: {},
    shape.NoneType: {"type": "null"},
    shape.BoolType: {"type": "boolean"},
    shape.IntType: {"type": "integer"},
    shape.FloatType: {"type": "number"},
    shape.StrType: {"type": "string"},
    shape.BytesType: {"type": "string", "contentEncoding": "base64"},
    shape.UUIDType: {"type": "string", "format": "uuid"},
    shape.CustomType: {"type": "string", "format": "uuid"},  # `Id`: there is no other
    shape.DateTimeType: {"type": "string", "format": "date-time"},
}


def build_schema(event: type[Event]) -> Schema:
    """The schema of one event, complete in itself; structs it is made of stand under `$defs`."""
    structs = {struct.cls.__name__: struct for struct in _find_structs(_struct_of(event))}
    own = structs.pop(event.__name__)
    schema: Schema = {"$schema": DIALECT, "$id": f"urn:rapport:event:{event.TYPE}", "title": event.TYPE, **_describe_struct(own)}
    if structs:
        schema["$defs"] = {name: _describe_struct(structs[name]) for name in sorted(structs)}
    return schema


def _struct_of(event: type[Event]) -> shape.StructType:
    info = shape.type_info(event)
    if not isinstance(info, shape.StructType):
        raise TypeError(f"{event.__name__} is no msgspec Struct")
    return info


def _find_structs(info: shape.Type) -> Iterator[shape.StructType]:
    """The struct and all it is made of. Events are trees: no struct holds itself."""
    match info:
        case shape.StructType():
            yield info
            for field in info.fields:
                yield from _find_structs(field.type)
        case shape.Metadata():
            yield from _find_structs(info.type)
        case shape.VarTupleType():
            yield from _find_structs(info.item_type)
        case shape.UnionType():
            for member in info.types:
                yield from _find_structs(member)


def _describe_struct(struct: shape.StructType) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {field.encode_name: _describe_field(field) for field in struct.fields},
        "required": [field.encode_name for field in struct.fields if field.required],
    }
    if struct.cls.__doc__:
        schema = {"description": inspect.cleandoc(struct.cls.__doc__), **schema}
    return schema


def _describe_field(field: shape.Field) -> Schema:
    schema = _describe(field.type)
    if field.default is not msgspec.NODEFAULT:
        default = field.default
        schema["default"] = msgspec.json.decode(
            bytes(default) if isinstance(default, msgspec.Raw) else msgspec.json.encode(default)
        )
    return schema


def _describe(info: shape.Type) -> Schema:
    match info:
        case shape.Metadata():
            return {**_describe(info.type), **(info.extra_json_schema or {})}
        case shape.StructType():
            return {"$ref": f"#/$defs/{info.cls.__name__}"}
        case shape.LiteralType():
            return {"enum": list(info.values)}
        case shape.VarTupleType():
            array: Schema = {"type": "array", "items": _describe(info.item_type)}
            if info.min_length is not None:
                array["minItems"] = info.min_length
            return array
        case shape.UnionType():
            return {"anyOf": [_describe(member) for member in info.types]}
        case _ if type(info) in _PLAIN:
            return dict(_PLAIN[type(info)])
        case _:
            raise TypeError(f"events don't use {type(info).__name__}: say here how it is written in JSON Schema")
