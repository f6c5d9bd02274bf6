"""Whisper's architecture in miniature, as functions of a dictionary of weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from models.demo import tokens
from models.demo.architecture import DECODER_LAYERS, ENCODER_LAYERS, FRAME_HEAD, HEADS, WIDTH, audio_positions

Weights = dict[str, Array]

GUIDED_LAYER = 1
"""Its first head of cross attention is shown where to look; without that training takes many times as long."""
_LOG_UNUSED_IDS = math.log(51_865 - tokens.N_ROWS)


class Output(NamedTuple):
    logits: Array
    """[windows, length, rows]"""
    attention: Array
    """[windows, length, frames]: where the guided head looks"""
    sounding: Array
    """[windows, frames, words + 1]"""


def run(weights: Weights, mels: Array, written: Array) -> Output:
    audio = encode(weights, mels)
    embedding = weights["decoder.token_embedding.weight"]
    x = embedding[written] + weights["decoder.positional_embedding"][: written.shape[1]]
    attention = audio
    for layer in range(DECODER_LAYERS):
        name = f"decoder.blocks.{layer}"
        x = x + _attend(weights, f"{name}.attn", x, None)[0]
        looked, where = _attend(weights, f"{name}.cross_attn", x, audio)
        if layer == GUIDED_LAYER:
            attention = where[:, 0]
        x = _think(weights, name, x + looked)
    logits = _norm(weights, "decoder.ln", x) @ embedding.T
    return Output(logits.at[..., tokens.UNUSED].add(_LOG_UNUSED_IDS), attention, _linear(weights, FRAME_HEAD, audio))


def encode(weights: Weights, mels: Array) -> Array:
    """[windows, 2 · frames, 80] → [windows, frames, width]"""
    x = _gelu(_convolve(weights, "encoder.conv1", mels, 1))
    x = _gelu(_convolve(weights, "encoder.conv2", x, 2))
    x = x + jnp.asarray(audio_positions())[: x.shape[1]]
    for layer in range(ENCODER_LAYERS):
        name = f"encoder.blocks.{layer}"
        x = x + _attend(weights, f"{name}.attn", x, x)[0]
        x = _think(weights, name, x)
    return _norm(weights, "encoder.ln_post", x)


def _attend(weights: Weights, name: str, x: Array, audio: Array | None) -> tuple[Array, Array]:
    """`audio` None: to what was written so far; `x` itself: to all of it; else across to the encoder's output.

    Returns what is added to x and the weights [windows, heads, to, from].
    """
    y = _norm(weights, f"{name}_ln", x)
    source = audio if audio is not None and audio is not x else y
    query, key, value = (
        _heads(_linear(weights, f"{name}.{part}", at))
        for part, at in (("query", y), ("key", source), ("value", source))
    )
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(WIDTH // HEADS)
    if audio is None:
        length = x.shape[1]
        scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    where = jax.nn.softmax(scores, axis=-1)
    seen = jnp.einsum("bhqk,bhkd->bqhd", where, value)
    return _linear(weights, f"{name}.out", seen.reshape(x.shape)), where


def _think(weights: Weights, name: str, x: Array) -> Array:
    hidden = _gelu(_linear(weights, f"{name}.mlp.0", _norm(weights, f"{name}.mlp_ln", x)))
    return x + _linear(weights, f"{name}.mlp.2", hidden)


def _heads(x: Array) -> Array:
    return x.reshape(*x.shape[:2], HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)


def _linear(weights: Weights, name: str, x: Array) -> Array:
    product = x @ weights[f"{name}.weight"].T
    return product + weights[f"{name}.bias"] if f"{name}.bias" in weights else product


def _norm(weights: Weights, name: str, x: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _convolve(weights: Weights, name: str, x: Array, stride: int) -> Array:
    """A convolution over three frames as one product: far faster on a CPU than the general one."""
    n_out = x.shape[1] // stride
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    frames = [padded[:, shift : shift + stride * (n_out - 1) + 1 : stride] for shift in range(3)]
    kernel = weights[f"{name}.weight"].transpose(2, 1, 0).reshape(-1, WIDTH)
    return jnp.concatenate(frames, axis=-1) @ kernel + weights[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=True)
