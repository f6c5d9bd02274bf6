"""Telling a whole Whisper model in ggml format from anything else, before whisper-server sees the file.

whisper-server exits or answers nonsense on a file it cannot read; a sentence here costs one walk over the headers.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from whisper_models.catalogue import known_file
from whisper_models.checksums import has_known_checksum

MAGIC = b"lmgg"
PART_SUFFIX = ".part"
_FIRST_MULTILINGUAL_VOCABULARY = 51_865

# Tensor type → (elements per block, bytes per block), as ggml stores them.
_BLOCKS: dict[int, tuple[int, int]] = {
    0: (1, 4),  # f32
    1: (1, 2),  # f16
    2: (32, 18),  # q4_0
    3: (32, 20),  # q4_1
    6: (32, 22),  # q5_0
    7: (32, 24),  # q5_1
    8: (32, 34),  # q8_0
    10: (256, 84),  # q2_K
    11: (256, 110),  # q3_K
    12: (256, 144),  # q4_K
    13: (256, 176),  # q5_K
    14: (256, 210),  # q6_K
    30: (1, 2),  # bf16
}


class InvalidModelFile(Exception):
    """The file must not be given to whisper-server; the sentence says why and what to do."""


class _Cut(Exception):
    """The file ends inside something."""


@dataclass(frozen=True)
class _Parameters:
    n_vocab: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int
    n_mels: int
    ftype: int

    def are_sane(self) -> bool:
        return (
            50_000 <= self.n_vocab <= 60_000
            and 0 < self.n_audio_ctx <= 1500
            and 0 < self.n_text_ctx <= 4096
            and 0 < self.n_audio_layer <= 64
            and 0 < self.n_text_layer <= 64
            and _splits_into_heads(self.n_audio_state, self.n_audio_head)
            and _splits_into_heads(self.n_text_state, self.n_text_head)
            and self.n_mels in (80, 128)
        )

    def n_tensors(self) -> int:
        return 11 + 15 * self.n_audio_layer + 24 * self.n_text_layer


def _splits_into_heads(state: int, heads: int) -> bool:
    return 0 < state <= 8192 and heads > 0 and state % heads == 0


def is_multilingual(path: Path) -> bool:
    with path.open("rb") as file:
        return _read_parameters(file, path).n_vocab >= _FIRST_MULTILINGUAL_VOCABULARY


def check_model_file(path: Path, *, checksum: bool = True) -> None:
    """Raises InvalidModelFile unless the file is a whole Whisper model in ggml format.

    A file that bears a catalogue name must also have that model's size and, with `checksum`, its checksum;
    pass False for a file that was verified when it was downloaded, as hashing 3 GB takes seconds.
    """
    if not path.is_file():
        raise InvalidModelFile(f"There is no model file at {path}. Check the path, or give a name from the catalogue.")
    if path.suffix == PART_SUFFIX:
        raise InvalidModelFile(
            f"{path} is an unfinished download. Run the download again; it goes on where it stopped."
        )
    with path.open("rb") as file:
        parameters = _read_parameters(file, path)
        try:
            _walk_tensors(file, parameters, path)
        except _Cut:
            raise InvalidModelFile(f"{path} is cut short: its end is missing. Download it again.") from None
    _check_known_facts(path, checksum=checksum)


def _check_known_facts(path: Path, *, checksum: bool) -> None:
    known = known_file(path.name)
    if known is None:
        return
    size_bytes = path.stat().st_size
    if known.size_bytes is not None and size_bytes != known.size_bytes:
        raise InvalidModelFile(
            f"{path} has {size_bytes:,} bytes, but the model {known.name} has {known.size_bytes:,}. "
            "Download it again, or rename it if it is another model."
        )
    if checksum and not has_known_checksum(path, known):
        raise InvalidModelFile(
            f"{path} does not have the checksum of the model {known.name}. "
            "Download it again, or rename it if it is another model."
        )


def _read_parameters(file: BinaryIO, path: Path) -> _Parameters:
    if file.read(4) != MAGIC:
        raise InvalidModelFile(f"{path} is not a ggml Whisper model. Give a file named like ggml-base.en.bin.")
    try:
        parameters = _Parameters(*_unpack(file, "<11i"))
    except _Cut:
        raise InvalidModelFile(f"{path} is cut short: it ends in its header. Download it again.") from None
    if not parameters.are_sane():
        raise InvalidModelFile(f"{path} has a ggml header, but not that of a Whisper model. Give a Whisper model.")
    return parameters


def _walk_tensors(file: BinaryIO, parameters: _Parameters, path: Path) -> None:
    size_bytes = path.stat().st_size
    n_mel, n_fft = _unpack(file, "<2i")
    _skip(file, n_mel * n_fft * 4, size_bytes)
    (n_tokens,) = _unpack(file, "<i")
    for _ in range(n_tokens):
        (token_bytes,) = _unpack(file, "<I")
        _skip(file, token_bytes, size_bytes)
    for _ in range(parameters.n_tensors()):
        n_dims, name_bytes, tensor_type = _unpack(file, "<3i")
        if tensor_type not in _BLOCKS or not 1 <= n_dims <= 4:
            raise InvalidModelFile(f"{path} holds a tensor that Whisper models do not have. Download the model again.")
        shape = _unpack(file, f"<{n_dims}i")
        block_elements, block_bytes = _BLOCKS[tensor_type]
        _skip(file, name_bytes + math.prod(shape) // block_elements * block_bytes, size_bytes)


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    data = file.read(struct.calcsize(layout))
    if len(data) < struct.calcsize(layout):
        raise _Cut
    return struct.unpack(layout, data)


def _skip(file: BinaryIO, n_bytes: int, size_bytes: int) -> None:
    end = file.tell() + n_bytes
    if n_bytes < 0 or end > size_bytes:
        raise _Cut
    file.seek(end)
