"""A multipart form read piece by piece: fields are kept, the file flows on. Nothing is spooled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from whisper_dispatcher.gateway.errors import ApiError, bad_request

MAX_PARTS = 256
"""Each word of a list such as `keywords[]` is one."""
MAX_FIELDS_BYTES = 256 * 1024
MAX_FILENAME_CHARACTERS = 255


class FileSink(Protocol):
    async def write(self, data: bytes) -> None: ...


@dataclass(slots=True)
class _Part:
    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


class Form:
    """Fields by name; `x[]` and `x` are the same name."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}
        self.filename: str | None = None
        """None = the form had no part `file`."""

    def add(self, name: str, value: str) -> None:
        self._values.setdefault(name.removesuffix("[]"), []).append(value)

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def get(self, name: str) -> str:
        """The last value, stripped; "" when there is none."""
        return self.all(name)[-1].strip() if name in self._values else ""


class FormReader:
    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise bad_request(
                "The body must be a multipart form (Content-Type: multipart/form-data with a boundary) with a part named 'file'.",
                code="not_multipart",
            )
        self.form = Form()
        self._file_data: list[bytes] = []
        self._part = _Part()
        self._parts = 0
        self._fields_bytes = 0
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _unreadable() from error

    async def read(self, body: AsyncIterator[bytes], sink: FileSink) -> Form:
        """Raises ApiError as soon as the form breaks a rule; the rest of the body is then left unread."""
        async for chunk in body:
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise _unreadable() from error
            for data in self._file_data:
                await sink.write(data)
            self._file_data.clear()
        if not self._is_complete:
            raise bad_request("The form ends in the middle. Send the whole file again.", code="truncated_form")
        return self.form

    @property
    def _is_file(self) -> bool:
        return self._part.name == "file"

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise bad_request(
                f"The form has more than {MAX_PARTS} parts. Send one file and its options.", code="too_many_parts"
            )
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._header_value))
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            if b"filename" in options:
                self._part.filename = options[b"filename"].decode("utf-8", "replace")
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        if not self._is_file:
            return
        if self.form.filename is not None:
            raise bad_request("The form has two files. Send one file in a request.", code="two_files", param="file")
        self.form.filename = (self._part.filename or "")[:MAX_FILENAME_CHARACTERS]

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._file_data.append(data[start:end])
            return
        self._part.data += data[start:end]
        self._fields_bytes += end - start
        if self._fields_bytes > MAX_FIELDS_BYTES:
            name = self._part.name[:100]
            raise ApiError(
                400,
                f"The form's fields up to {name!r} have more than {MAX_FIELDS_BYTES} bytes. Audio belongs into the part named 'file'.",
                code="field_too_long",
                param=name,
                retry=False,
            )

    def _on_part_end(self) -> None:
        if not self._is_file:
            self.form.add(self._part.name, self._part.data.decode("utf-8", "replace"))

    def _on_end(self) -> None:
        self._is_complete = True


def _unreadable() -> ApiError:
    return bad_request("The multipart form could not be read. Check its boundary and headers.", code="bad_form")
