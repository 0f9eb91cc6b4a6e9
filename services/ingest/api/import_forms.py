"""The fields of an import's form, and its mapping: YAML or JSON, checked before a byte of the file is looked at."""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from libs.kit.errors import FieldError
from libs.kit.http import StrictModel
from libs.kit.json_values import find_fault
from services.ingest.domain.imports.layouts import Format, Wishes
from services.ingest.domain.imports.mapping import Columns, read_mapping
from services.ingest.errors import ImportMappingInvalid

AUTO: Final = "auto"
_PLACE: Final = re.compile(r" - at `\$\.?(.*)`$")
_NAMED: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


class ImportForm(StrictModel):
    """What isn't said is found out from the file."""

    source: str | None = Field(default=None, description="Id of the source; else the one whose key is in X-Write-Key.")
    format: Literal["auto", "cdnow", "online-retail", "csv", "ndjson", "parquet"] = AUTO
    mapping: str | None = Field(default=None, description="YAML or JSON: which column is what (docs/imports.md).")
    encoding: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,40}$")] | None = None
    delimiter: Annotated[str, Field(pattern=r"^(.|\t|\\t|tab|comma|semicolon|pipe)$")] | None = None
    header: bool | None = Field(default=None, description="Whether a CSV's first row names the columns.")
    max_error_ratio: float = Field(
        default=0.9, ge=0, le=1, description="Above this share of failed rows (from 1,000 rows on) the import stops itself."
    )
    start: bool = Field(default=True, description="False: keep it paused until it is resumed.")
    restart: bool = Field(default=False, description="Begin anew an import that has ended.")

    def to_wishes(self) -> Wishes:
        """Raises ImportMappingInvalid."""
        return Wishes(
            format=None if self.format == AUTO else Format(self.format),
            mapping=None if self.mapping is None else _read_mapping_text(self.mapping),
            encoding=self.encoding,
            delimiter=None if self.delimiter is None else _NAMED.get(self.delimiter, self.delimiter),
            header=self.header,
        )


def read_form(fields: dict[str, str]) -> ImportForm:
    """Empty fields count as not given. Raises RequestValidationError, as the framework does for what it reads itself."""
    try:
        return ImportForm.model_validate({name: value for name, value in fields.items() if value})
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from error


def _read_mapping_text(text: str) -> Columns:
    value = _load(text)
    fault = find_fault(value)
    if fault is not None:
        raise ImportMappingInvalid(f"The mapping {fault}.")
    try:
        return read_mapping(value)
    except msgspec.ValidationError as error:
        found = _PLACE.search(str(error))
        # Of a member of a map only the map is told (`properties[...]`).
        place = f"/{found.group(1).partition('[')[0].replace('.', '/')}" if found and found.group(1) else ""
        detail = _PLACE.sub("", str(error))
        raise ImportMappingInvalid("The mapping is wrong.", errors=[FieldError(f"#/mapping{place}", detail)]) from error


def _load(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ImportMappingInvalid(f"The mapping is neither YAML nor JSON{where}.") from error


class _PlainLoader(yaml.SafeLoader):
    """What JSON could say as well. No aliases: a few lines of them can stand for gigabytes. No tags (`!!int ''`): their readers
    fail in ways of their own. And of words only JSON's mean more than a text: NO is a country, 2026-01-01 what stands there.
    """

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the library's own attribute, replaced and not shared

    def compose_node(self, parent: Any, index: int) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases aren't read")
        event: Any = self.peek_event()  # type: ignore[no-untyped-call] # the stubs leave it out
        if getattr(event, "tag", None) not in (None, "!"):
            raise yaml.YAMLError("tags aren't read")
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$", list("-+0123456789")),
):
    _PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
