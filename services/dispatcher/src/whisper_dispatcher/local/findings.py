"""What the doctor thinks of what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from whisper_contracts import names
from whisper_dispatcher.gateway.journal_room import UPLOADS_SHARE

LOW_DISK_BYTES = 1024**3
FULL_SHARE = 0.8
LONG_BACKLOG = 1_000
MAKE_ANEW = "Start `whisperfleet up` or run `whisperfleet prepare` again; in a cluster look into the operator's log."

Verdict = Literal["well", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    text: str


def well(text: str) -> Finding:
    return Finding("well", text)


def warning(text: str) -> Finding:
    return Finding("warning", text)


def wrong(text: str) -> Finding:
    return Finding("wrong", text)


def judge_disk(folder: str, free_bytes: int) -> Finding:
    text = f"{free_bytes / 1024**3:.1f} GB of disk are free at {folder}"
    if free_bytes < LOW_DISK_BYTES:
        return wrong(f"{text}: NATS stops taking jobs when the disk is full. Free some.")
    return well(f"{text}.")


def judge_stream(name: str, info: dict[str, Any]) -> Finding:
    """info: NATS' answer to STREAM.INFO."""
    if error := info.get("error"):
        return wrong(f"Stream {name} is missing ({error.get('description')}). {MAKE_ANEW}")
    config, state = info["config"], info["state"]
    used = max(
        _share(state["bytes"], config.get("max_bytes", -1)), _share(state["messages"], config.get("max_msgs", -1))
    )
    text = f"Stream {name} is {used:.0%} full, {state['messages']} messages in {state['bytes'] / 1024**2:.1f} MB"
    if used < FULL_SHARE:
        return well(f"{text}.")
    if name == names.JOURNAL_STREAM:
        share = f"{UPLOADS_SHARE * 100:g} %"
        advice = "erase finished jobs, or give the queue more disk"
        return warning(f"{text}. From {share} on uploads are refused with 429: {advice}.")
    return warning(f"{text}. At 100 % uploads are refused with 429: add workers, or give the queue more disk.")


def _share(used: int, limit: int) -> float:
    return used / limit if limit > 0 else 0.0


def judge_workers(model: str, looks: list[list[dict[str, Any]]]) -> Finding:
    """looks: NATS' answers to CONSUMER.INFO of the model's consumers, several moments apart."""
    if any("error" in info for info in looks[-1]):
        return wrong(f"The queue of model {model} is missing. {MAKE_ANEW}")
    waiting = max(info["num_waiting"] for look in looks for info in look)
    busy = max(sum(info["num_ack_pending"] for info in look) for look in looks)
    if waiting or busy:
        return well(f"Model {model}: {waiting} pulls wait for work, {busy} windows are being transcribed.")
    return wrong(f"No worker asks for work of model {model}. Look into the worker's log: it has to be ready first.")


def judge_backlog(what: str, consumer: str, info: dict[str, Any]) -> Finding:
    pending = info["num_pending"]
    text = f"{what} in {consumer}: {pending} wait, {info['num_ack_pending']} are in hand"
    if pending >= LONG_BACKLOG:
        return warning(f"{text}. Add workers if it does not shrink.")
    return well(f"{text}.")


def judge_dead_letters(count: int) -> Finding:
    if count:
        return warning(f"{count} jobs have failed for good: see `whisperfleet dead-letters list`.")
    return well("There are no dead letters.")
