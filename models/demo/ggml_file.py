"""Writes whisper.cpp's file format: header, mel filters, texts of the ids, then the tensors."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.demo import tokens
from models.demo.mel import N_MELS, Floats, mel_filters
from models.demo.tokens import FileVocabulary

MAGIC = 0x67676D6C
BLOCK = 32
_F32, _F16, _Q5_0 = 0, 1, 6
_FILE_TYPE_Q5_0 = 2_000 + 8
"""The version of the quantisation in thousands, then ggml's number of the type."""
_EMBEDDING = "decoder.token_embedding.weight"
_KEPT_WHOLE = "positional_embedding"


@dataclass(frozen=True)
class Sizes:
    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    audio_context: int
    text_context: int


def write_model(path: Path, weights: Mapping[str, Floats], vocabulary: FileVocabulary, sizes: Sizes) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(struct.pack("<12i", MAGIC, *_header(vocabulary.n_ids, sizes)))
        filters = mel_filters()
        file.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
        file.write(struct.pack("<i", vocabulary.n_texts))
        for text in tokens.texts(vocabulary):
            file.write(struct.pack("<I", len(text)) + text)
        for name, array in weights.items():
            whole = embedding_of_all_ids(array, vocabulary) if name == _EMBEDDING else array
            file.writelines(_tensor(name, whole))
    part.replace(path)


def _header(n_ids: int, sizes: Sizes) -> tuple[int, ...]:
    audio = (sizes.audio_context, sizes.width, sizes.heads, sizes.encoder_layers)
    text = (sizes.text_context, sizes.width, sizes.heads, sizes.decoder_layers)
    return (n_ids, *audio, *text, N_MELS, _FILE_TYPE_Q5_0)


def embedding_of_all_ids(rows: Floats, vocabulary: FileVocabulary) -> Floats:
    """Every id that the model does not know gets the row that it learned for all of them."""
    whole = np.tile(rows[tokens.UNUSED], (vocabulary.n_ids, 1))
    for row, token_id in tokens.ids_of_rows(vocabulary).items():
        whole[token_id] = rows[row]
    if not vocabulary.is_multilingual:
        # Whisper-server asks even an English-only model for the language: what always comes first says English.
        whole[vocabulary.first_language()] = rows[tokens.timestamp_row(0)]
    return whole


def _tensor(name: str, array: Floats) -> Iterator[bytes]:
    # whisper.cpp adds a convolution's bias to a matrix.
    if name.startswith("encoder.conv") and name.endswith(".bias"):
        array = array.reshape(-1, 1)
    encoded = name.encode()
    kind, data = _encoded(name, array)
    yield struct.pack("<3i", array.ndim, len(encoded), kind)
    yield struct.pack(f"<{array.ndim}i", *reversed(array.shape))
    yield encoded
    yield data


def _encoded(name: str, array: Floats) -> tuple[int, bytes]:
    if array.ndim == 3:
        return _F16, array.astype("<f2").tobytes()
    if array.ndim == 2 and array.shape[1] > 1 and not name.endswith(_KEPT_WHOLE):
        return _Q5_0, quantised(array)
    return _F32, array.astype("<f4").tobytes()


def quantised(matrix: Floats) -> bytes:
    """ggml's q5_0: blocks of 32 numbers share one scale, and each is kept as one of 32 steps of it."""
    blocks = matrix.reshape(-1, BLOCK).astype(np.float32)
    furthest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    scales = furthest / -16
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    steps = np.minimum(31, (blocks * inverse + 16.5).astype(np.int32)).astype(np.uint8)
    low, high = steps & 0x0F, steps >> 4
    packed = np.zeros(len(blocks), np.dtype([("scale", "<f2"), ("high", "<u4"), ("low", "u1", BLOCK // 2)]))
    packed["scale"] = scales[:, 0]
    packed["high"] = (high.astype(np.uint32) << np.arange(BLOCK, dtype=np.uint32)).sum(axis=1)
    packed["low"] = low[:, : BLOCK // 2] | (low[:, BLOCK // 2 :] << 4)
    return packed.tobytes()


def dequantised(data: bytes, shape: tuple[int, int]) -> Floats:
    """What whisper.cpp reads out of `quantised`."""
    packed = np.frombuffer(data, np.dtype([("scale", "<f2"), ("high", "<u4"), ("low", "u1", BLOCK // 2)]))
    low: npt.NDArray[np.uint8] = np.concatenate([packed["low"] & 0x0F, packed["low"] >> 4], axis=1)
    high = (packed["high"][:, None] >> np.arange(BLOCK, dtype=np.uint32)) & 1
    steps = low.astype(np.int32) + 16 * high.astype(np.int32) - 16
    return (steps * packed["scale"].astype(np.float32)[:, None]).astype(np.float32).reshape(shape)
