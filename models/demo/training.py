"""Training: the loss, the optimiser, averaged weights, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jax import Array

from models.demo.architecture import FRAME_HEAD, initial_weights, shapes
from models.demo.batches import Batch, batches
from models.demo.network import Weights, run
from models.demo.schedule import SEED, course, rate_at
from models.demo.speech import Pool
from models.demo.windows import ENCODER_FRAMES_PER_SECOND

WEIGHT_DECAY = 0.05
MAX_GRADIENT = 1.0
MOMENTS = (0.9, 0.98)
MUON_RMS = 0.4
"""How large an update of a matrix is, on average, beside AdamW's of the rest at the same rate."""
AVERAGING = 0.995
TIME_HINT = 0.04
"""Of a word's probability goes to the timestamp at which it begins: whisper.cpp takes word times from there."""
CHECKPOINT_EVERY = 100
REPORT_EVERY = 20


class State(NamedTuple):
    weights: Weights
    averaged: Weights
    optimiser: optax.OptState


class ForeignCheckpoint(Exception):
    """Another network or another optimiser saved it."""


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


def optimiser(steps: int) -> optax.GradientTransformation:
    """Muon for what multiplies inside the layers: it learns as much in half of AdamW's steps. AdamW for the rest."""
    rates = jnp.asarray([rate_at(step, steps) for step in range(steps)])
    return optax.chain(
        optax.clip_by_global_norm(MAX_GRADIENT),
        optax.contrib.muon(
            lambda done: rates[done],
            weight_decay=WEIGHT_DECAY,
            adam_b1=MOMENTS[0],
            adam_b2=MOMENTS[1],
            muon_weight_dimension_numbers=_matrices(),
            consistent_rms=MUON_RMS,
        ),
    )


def _matrices() -> dict[str, optax.contrib.MuonDimensionNumbers | None]:
    """Which weights multiply inside the layers, and that their first axis is the output's."""
    return {
        name: optax.contrib.MuonDimensionNumbers(tuple(range(1, len(shape))), 0)
        if len(shape) > 1 and "embedding" not in name and not name.startswith(FRAME_HEAD)
        else None
        for name, shape in shapes().items()
    }


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def train_step(
    rule: optax.GradientTransformation, state: State, batch: Batch, step: Array, guidance: Array
) -> tuple[State, Losses]:
    gradients, now = jax.grad(losses, has_aux=True)(state.weights, batch, guidance)
    updates, optimiser_state = rule.update(gradients, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, updates)
    keep = jnp.minimum(AVERAGING, step / (step + 20))
    averaged = optax.incremental_update(weights, state.averaged, 1 - keep)
    return State(weights, averaged, optimiser_state), now


def fresh_state(rule: optax.GradientTransformation) -> State:
    weights = {name: jnp.asarray(weight) for name, weight in initial_weights(SEED).items()}
    return State(weights, {name: weight.copy() for name, weight in weights.items()}, rule.init(weights))


def save(path: Path, state: State, step: int) -> None:
    """Whole or not at all."""
    part_file = path.with_suffix(".part.npz")
    np.savez(part_file, *map(np.asarray, jax.tree.leaves(state)), step=np.array(step))
    part_file.replace(path)


def steps_done(path: Path) -> int:
    """Of the training that the checkpoint was saved in; 0 without one."""
    if not path.is_file():
        return 0
    with np.load(path) as file:
        return int(file["step"])


def load(path: Path, rule: optax.GradientTransformation) -> State:
    """The first one without a checkpoint. Raises ForeignCheckpoint."""
    state = fresh_state(rule)
    if not path.is_file():
        return state
    leaves, structure = jax.tree.flatten(state)
    with np.load(path) as file:
        saved = [file[name] for name in file.files if name != "step"]
    if [leaf.shape for leaf in saved] != [leaf.shape for leaf in leaves]:
        raise ForeignCheckpoint
    restored: State = jax.tree.unflatten(structure, map(jnp.asarray, saved))
    return restored


def train(pool: Path, checkpoint: Path, steps: int, report: Callable[[Progress], None]) -> Weights:
    """Goes on from the checkpoint if there is one; returns the averaged weights. Raises ForeignCheckpoint."""
    rule = optimiser(steps)
    state, done = load(checkpoint, rule), steps_done(checkpoint)
    recent: list[Losses] = []
    began = time.monotonic()
    for step, batch in enumerate(batches(Pool(pool), course(steps), done), start=done):
        guidance = 1 - 0.7 * step / steps
        state, now = train_step(rule, state, batch, jnp.float32(step), jnp.float32(guidance))
        recent.append(now)
        if (step + 1) % REPORT_EVERY == 0:
            means = {field: float(np.mean([getattr(one, field) for one in recent])) for field in Losses._fields[1:]}
            report(Progress(step + 1, steps, (time.monotonic() - began) / len(recent), **means))
            recent, began = [], time.monotonic()
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
            save(checkpoint, state, step + 1)
    return state.averaged
