"""A form with one file (multipart/form-data, RFC 7578), read as it comes: the file goes to a disk, never into memory."""

import hashlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from libs.kit.errors import BadRequest, FieldError, Invalid, UnsupportedMediaType
from services.ingest.errors import ImportFileTooLarge

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE: Final = "file"
MAX_FIELD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 50
_DRAIN_BYTES: Final = 64 * 1024 * 1024
"""So much more of a file that is too large is read and thrown away, so that the sender gets to read the answer."""
_MAX_NAME_CHARS: Final = 255


class Upload(NamedTuple):
    """The file lies at `path`; `name` is what its sender calls it."""

    path: Path
    name: str
    size_bytes: int
    sha256: bytes
    fields: dict[str, str]


async def receive_upload(request: Request, path: Path, max_bytes: int) -> Upload:
    """Raises UnsupportedMediaType, BadRequest, Invalid, ImportFileTooLarge."""
    content_type, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if content_type != b"multipart/form-data" or not boundary:
        raise UnsupportedMediaType("Send a form: multipart/form-data with the part `file`.")
    with path.open("wb") as file:
        form = _Form(file, max_bytes)
        try:
            parser = MultipartParser(boundary, form.callbacks())
            async for chunk in request.stream():
                parser.write(chunk)
                if form.size_bytes > max_bytes + _DRAIN_BYTES:
                    raise ImportFileTooLarge(max_bytes, is_cut=True)
            parser.finalize()
        except FormParserError as error:
            raise BadRequest("The form can't be read: it isn't multipart/form-data, or it ends too early.") from error
    if form.size_bytes > max_bytes:
        raise ImportFileTooLarge(max_bytes)
    if not form.is_complete:
        raise BadRequest("The form ends too early.")
    if form.file_name is None:
        raise Invalid("There is no file.", errors=[FieldError(f"#/{FILE}", "this part is missing")])
    try:
        fields = {name: value.decode() for name, value in form.fields.items()}
    except UnicodeDecodeError as error:
        raise Invalid("A field isn't UTF-8.") from error
    return Upload(path, form.file_name, form.size_bytes, form.digest.digest(), fields)


class _Form:
    """What the parser calls. Parts but the file are held, within bounds."""

    def __init__(self, file: IO[bytes], max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._header: list[bytes] = [b"", b""]
        self._disposition = b""
        self._field: str | None = None
        self.fields: dict[str, bytes] = {}
        self.file_name: str | None = None
        self.size_bytes = 0
        self.digest = hashlib.sha256()
        self.is_complete = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._header, self._disposition, self._field = [b"", b""], b"", None

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = [b"", b""]

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == FILE:
            if self.file_name is not None:
                raise Invalid("There is more than one file.", errors=[FieldError(f"#/{FILE}", "given twice")])
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")[:_MAX_NAME_CHARS].replace("\x00", "")
            return
        if name in self.fields or len(self.fields) >= MAX_FIELDS:
            raise Invalid("A field is given twice, or there are too many.", errors=[FieldError("#", "fields come once")])
        self._field, self.fields[name] = name, b""

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            value = self.fields[self._field] + data[start:end]
            if len(value) > MAX_FIELD_BYTES:
                raise Invalid(f"A field is larger than {MAX_FIELD_BYTES} bytes.", errors=[FieldError("#", "too large")])
            self.fields[self._field] = value
            return
        self.size_bytes += end - start
        if self.size_bytes <= self._max_bytes:
            part = memoryview(data)[start:end]
            self._file.write(part)
            self.digest.update(part)

    def _end(self) -> None:
        self.is_complete = True
