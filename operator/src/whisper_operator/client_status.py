"""The status of a WhisperClient."""

from __future__ import annotations

from whisper_operator.client import Client
from whisper_operator.client_key import client_id, secret_name
from whisper_operator.conditions import Claimed, dated
from whisper_operator.problems import Problem
from whisper_operator.resources import Manifest


def registered_status(client: Client, previous: Manifest, now: str) -> Manifest:
    message = f"The gateway takes the key in Secret {secret_name(client)}."
    claimed = [Claimed("Ready", True, "Registered", message)]
    return previous | {
        "observedGeneration": client.generation,
        "conditions": dated(claimed, previous.get("conditions") or [], client.generation, now),
        "secretName": secret_name(client),
        "client": client_id(client),
        "rotation": client.spec.rotation,
    }


def unregistered_status(generation: int, problem: Problem, previous: Manifest, now: str) -> Manifest:
    """What is said of the last key that worked stays: it still works."""
    claimed = [Claimed("Ready", False, problem.reason, problem.message)]
    return previous | {
        "observedGeneration": generation,
        "conditions": dated(claimed, previous.get("conditions") or [], generation, now),
    }
