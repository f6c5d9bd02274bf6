"""Training: the loss, AdamW with averaged weights, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from models.demo.architecture import initial_weights
from models.demo.batches import Batch, batches
from models.demo.network import Weights, run
from models.demo.schedule import SEED, course, rate_at
from models.demo.speech import Pool
from models.demo.windows import ENCODER_FRAMES_PER_SECOND

WEIGHT_DECAY = 0.05
MAX_GRADIENT = 1.0
MOMENTS = (0.9, 0.98)
AVERAGING = 0.995
TIME_HINT = 0.04
"""Of a word's probability goes to the timestamp at which it begins: whisper.cpp takes word times from there."""
CHECKPOINT_EVERY = 100
REPORT_EVERY = 20


class State(NamedTuple):
    weights: Weights
    averaged: Weights
    first_moments: Weights
    second_moments: Weights


class Losses(NamedTuple):
    total: Array
    tokens: Array
    frames: Array
    attention: Array
    right_words: Array
    """Share of words that are guessed right, given those before them."""


class Progress(NamedTuple):
    step: int
    steps: int
    seconds_per_step: float
    tokens: float
    frames: float
    attention: float
    right_words: float


def losses(weights: Weights, batch: Batch, guidance: float) -> tuple[Array, Losses]:
    output = run(weights, jnp.asarray(batch.mels), jnp.asarray(batch.written))
    wanted, begins = jnp.asarray(batch.wanted), jnp.asarray(batch.begins)
    counts = wanted >= 0
    log_probabilities = jax.nn.log_softmax(output.logits)
    of_wanted = _taken(log_probabilities, wanted)
    hinted = (1 - TIME_HINT) * of_wanted + TIME_HINT * _taken(log_probabilities, begins)
    token_loss = -_mean(jnp.where(begins >= 0, hinted, of_wanted), counts)
    frame_loss = -_taken(jax.nn.log_softmax(output.sounding), jnp.asarray(batch.spoken)).mean()
    attention_loss = _attention_loss(output.attention, jnp.asarray(batch.heard_s))
    right = output.logits.argmax(-1) == wanted
    total = token_loss + guidance * (0.3 * frame_loss + 0.2 * attention_loss)
    return total, Losses(total, token_loss, frame_loss, attention_loss, _mean(right, begins >= 0))


def _attention_loss(attention: Array, heard_s: Array) -> Array:
    """How little the guided head looks at where each token can be heard."""
    at_s = jnp.arange(attention.shape[-1]) / ENCODER_FRAMES_PER_SECOND
    inside = (at_s >= heard_s[..., :1] - 0.06) & (at_s <= heard_s[..., 1:] + 0.04)
    return -_mean(jnp.log((attention * inside).sum(-1) + 1e-3), heard_s[..., 1] > 0)


def _taken(values: Array, at: Array) -> Array:
    return jnp.take_along_axis(values, jnp.maximum(at, 0)[..., None], axis=-1)[..., 0]


def _mean(values: Array, counts: Array) -> Array:
    return (values * counts).sum() / jnp.maximum(counts.sum(), 1)


@partial(jax.jit, donate_argnums=0)
def train_step(state: State, batch: Batch, step: Array, rate: Array, guidance: Array) -> tuple[State, Losses]:
    gradients, now = jax.grad(losses, has_aux=True)(state.weights, batch, guidance)
    length = jnp.sqrt(sum(jnp.sum(gradient**2) for gradient in gradients.values()))
    scale = jnp.minimum(1.0, MAX_GRADIENT / (length + 1e-6))
    weights, averaged, firsts, seconds = {}, {}, {}, {}
    keep = jnp.minimum(AVERAGING, step / (step + 20))
    for name, weight in state.weights.items():
        gradient = gradients[name] * scale
        firsts[name] = MOMENTS[0] * state.first_moments[name] + (1 - MOMENTS[0]) * gradient
        seconds[name] = MOMENTS[1] * state.second_moments[name] + (1 - MOMENTS[1]) * gradient**2
        direction = (firsts[name] / (1 - MOMENTS[0] ** (step + 1))) / (
            jnp.sqrt(seconds[name] / (1 - MOMENTS[1] ** (step + 1))) + 1e-8
        )
        decay = WEIGHT_DECAY if weight.ndim > 1 and "embedding" not in name else 0.0
        weights[name] = weight - rate * (direction + decay * weight)
        averaged[name] = keep * state.averaged[name] + (1 - keep) * weights[name]
    return State(weights, averaged, firsts, seconds), now


def fresh_state() -> State:
    weights = {name: jnp.asarray(weight) for name, weight in initial_weights(SEED).items()}
    zeros = {name: jnp.zeros_like(weight) for name, weight in weights.items()}
    copies = {name: weight.copy() for name, weight in weights.items()}
    return State(weights, copies, zeros, {name: zero.copy() for name, zero in zeros.items()})


def save(path: Path, state: State, step: int) -> None:
    """Whole or not at all."""
    arrays = {
        f"{part}/{name}": np.asarray(array)
        for part, weights in state._asdict().items()
        for name, array in weights.items()
    }
    part_file = path.with_suffix(".part.npz")
    np.savez(part_file, step=np.array(step), **arrays)  # type: ignore[arg-type]
    part_file.replace(path)


def load(path: Path) -> tuple[State, int]:
    """The state and the number of steps that led to it."""
    if not path.is_file():
        return fresh_state(), 0
    with np.load(path) as file:
        parts = {
            part: {
                name.partition("/")[2]: jnp.asarray(file[name]) for name in file.files if name.startswith(f"{part}/")
            }
            for part in State._fields
        }
        return State(**parts), int(file["step"])


def train(pool: Path, checkpoint: Path, steps: int, report: Callable[[Progress], None]) -> Weights:
    """Goes on from the checkpoint if there is one; returns the averaged weights."""
    state, done = load(checkpoint)
    recent: list[Losses] = []
    began = time.monotonic()
    for step, batch in enumerate(batches(Pool(pool), course(steps), done), start=done):
        guidance = 1 - 0.7 * step / steps
        state, now = train_step(
            state, batch, jnp.float32(step), jnp.float32(rate_at(step, steps)), jnp.float32(guidance)
        )
        recent.append(now)
        if (step + 1) % REPORT_EVERY == 0:
            means = {field: float(np.mean([getattr(one, field) for one in recent])) for field in Losses._fields[1:]}
            report(Progress(step + 1, steps, (time.monotonic() - began) / len(recent), **means))
            recent, began = [], time.monotonic()
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            save(checkpoint, state, step + 1)
    return state.averaged
