"""The network's sizes, the names and shapes of its weights, which are Whisper's own, and their first values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from models.demo import tokens
from models.demo.ggml_file import Sizes
from models.demo.mel import N_MELS, Floats
from models.demo.windows import FULL_WINDOW
from models.demo.words import WORDS

WIDTH = 96
HEADS = 3
ENCODER_LAYERS = 4
# With two whisper.cpp takes a model for a distilled one, which writes no timestamps.
DECODER_LAYERS = 3
SIZES = Sizes(WIDTH, HEADS, ENCODER_LAYERS, DECODER_LAYERS, audio_context=FULL_WINDOW, text_context=64)
FRAME_HEAD = "frame_head"
"""Says for each frame which word sounds; it helps in training and is left out of the file."""


def initial_weights(seed: int) -> dict[str, Floats]:
    chance = np.random.default_rng(seed)
    return {name: _initial(name, shape, chance) for name, shape in shapes().items()}


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every weight, by its name in Whisper; rows are outputs."""
    found: dict[str, tuple[int, ...]] = {}
    for name, n_in in (("encoder.conv1", N_MELS), ("encoder.conv2", WIDTH)):
        found |= {f"{name}.weight": (WIDTH, n_in, 3), f"{name}.bias": (WIDTH,)}
    for layer in range(ENCODER_LAYERS):
        found |= _block_shapes(f"encoder.blocks.{layer}", ("attn",))
    found |= _norm_shapes("encoder.ln_post")
    found["decoder.token_embedding.weight"] = (tokens.N_ROWS, WIDTH)
    found["decoder.positional_embedding"] = (SIZES.text_context, WIDTH)
    for layer in range(DECODER_LAYERS):
        found |= _block_shapes(f"decoder.blocks.{layer}", ("attn", "cross_attn"))
    return found | _norm_shapes("decoder.ln") | _linear_shapes(FRAME_HEAD, WIDTH, len(WORDS) + 1)


def _block_shapes(name: str, attentions: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for attention in attentions:
        for part in ("query", "key", "value", "out"):
            found |= _linear_shapes(f"{name}.{attention}.{part}", WIDTH, WIDTH)
        # Whisper's keys have none.
        del found[f"{name}.{attention}.key.bias"]
        found |= _norm_shapes(f"{name}.{attention}_ln")
    found |= _linear_shapes(f"{name}.mlp.0", WIDTH, 4 * WIDTH) | _linear_shapes(f"{name}.mlp.2", 4 * WIDTH, WIDTH)
    return found | _norm_shapes(f"{name}.mlp_ln")


def _linear_shapes(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _norm_shapes(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def _initial(name: str, shape: tuple[int, ...], chance: np.random.Generator) -> Floats:
    if "embedding" in name:
        return np.asarray(chance.normal(0, 0.05 if "token" in name else 0.02, shape), np.float32)
    if len(shape) == 1:
        is_scale = name.endswith("weight")
        return np.full(shape, 1 if is_scale else 0, np.float32)
    limit = 1 / math.sqrt(math.prod(shape[1:]))
    return np.asarray(chance.uniform(-limit, limit, shape), np.float32)


def audio_positions() -> Floats:
    """[frames, width], as Whisper's encoder has them; they are not trained."""
    step = math.log(10_000) / (WIDTH // 2 - 1)
    angles = np.arange(SIZES.audio_context)[:, None] * np.exp(-step * np.arange(WIDTH // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def exported(weights: Mapping[str, Floats]) -> dict[str, Floats]:
    """What goes into the file: without the frame head, with the positions that are not trained."""
    kept = {name: weight for name, weight in weights.items() if not name.startswith(FRAME_HEAD)}
    return kept | {"encoder.positional_embedding": audio_positions()}
