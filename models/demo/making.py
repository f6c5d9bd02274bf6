"""From nothing to weights: the pool of speech, the training, the two files. Every part goes on after a kill."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from models.demo.architecture import SIZES, exported
from models.demo.espeak import EspeakMissing, espeak
from models.demo.ggml_file import write_model
from models.demo.network import Weights
from models.demo.speech import SHARD, UTTERANCES, make_pool
from models.demo.tokens import FILES
from models.demo.training import ForeignCheckpoint, Progress, steps_done, train
from whisper_models.cache import cache_folder

CHECKPOINT = "checkpoint.npz"


class MakingFailed(Exception):
    """A sentence for the person who runs it."""


def work_folder() -> Path:
    return cache_folder() / "demo-model"


def make_model(work: Path, into: Path, steps: int, share: float, console: Console) -> None:
    """Raises MakingFailed."""
    work.mkdir(parents=True, exist_ok=True)
    # Compiling takes minutes; the second run finds it done.
    jax.config.update("jax_compilation_cache_dir", str(work / "compiled"))
    began = time.monotonic()
    _speak(work / "pool", share, console)
    checkpoint = work / CHECKPOINT
    done = steps_done(checkpoint)
    if done > steps:
        raise MakingFailed(f"{checkpoint} has {done:,} steps, more than {steps:,}. Remove it to begin again.")
    console.print(f"training: step {done:,} of {steps:,}")
    try:
        weights = train(work / "pool", checkpoint, steps, lambda progress: _report(progress, work, console))
    except ForeignCheckpoint:
        raise MakingFailed(f"{checkpoint} is of another recipe. Remove it to begin again.") from None
    write_files(weights, into, console)
    console.print(f"made in {(time.monotonic() - began) / 60:.0f} minutes")


def write_files(weights: Weights, into: Path, console: Console) -> None:
    into.mkdir(parents=True, exist_ok=True)
    arrays = exported({name: np.asarray(weight) for name, weight in weights.items()})
    for name, vocabulary in FILES.items():
        path = into / name
        write_model(path, arrays, vocabulary, SIZES)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        console.print(f"{path}: {path.stat().st_size:,} bytes, sha256 {digest}", soft_wrap=True)
    console.print("The catalogue, models/src/whisper_models/catalogue.py, must name the size and the sha256 of both.")


def _speak(pool: Path, share: float, console: Console) -> None:
    try:
        espeak()
    except EspeakMissing as error:
        raise MakingFailed(str(error)) from None
    for done, _path in enumerate(make_pool(pool, share)):
        if done and done % 4 == 0:
            console.print(f"speech: {done * SHARD:,} of {sum(UTTERANCES.values()) * share:,.0f} sentences")


def _report(progress: Progress, work: Path, console: Console) -> None:
    left_min = (progress.steps - progress.step) * progress.seconds_per_step / 60
    console.print(
        f"step {progress.step:,} of {progress.steps:,}  token loss {progress.tokens:.3f}  "
        f"frame loss {progress.frames:.3f}  words right {progress.right_words:.1%}  {left_min:.0f} minutes left",
        soft_wrap=True,
    )
    with (work / "log.jsonl").open("a") as log:
        log.write(
            json.dumps({"at": round(time.time()), "cpu_s": round(time.process_time()), **progress._asdict()}) + "\n"
        )
